"""Gives each matplotlib figure its title as metadata, shows what nothing would, keeps what it plots."""

from __future__ import annotations

import csv
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mitosis.kernel import notes

COLUMNS = ("kind", "label", "index", "x", "y", "z", "value")
MOST_ROWS = 1_000_000  # of one axes
_SILENT = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")  # backends that write files alone

Row = tuple[Any, ...]


def title(figure: Any) -> str:
    """The title a person would call the figure by: of the figure, else of its first titled axes, else ''."""
    heading = figure.get_suptitle() if hasattr(figure, "get_suptitle") else ""
    for axes in figure.axes:
        heading = heading or axes.get_title() or axes.get_title("left") or axes.get_title("right")
    return str(heading or figure.get_label() or "")


def name_by_title(shell: Any, data: str = "") -> None:
    """Let `shell` send `mitosis.title` with every figure, by IPython's own formatter, without matplotlib.

    With `data`, a directory, what each figure plots is written there, and `mitosis.data` says under which
    number.
    """
    numbers = itertools.count(1)

    def titled(figure: Any, **_options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        said: dict[str, Any] = {"title": title(figure)}
        if data:
            said["data"] = next(numbers)
            try:
                keep(figure, data, said["data"])
            except Exception as error:  # an artist of somebody's own may raise anything
                what = f"what a figure plots could not be kept ({type(error).__name__}: {error})"
                notes.add("figure_data", what, str(said["title"]))
        return {}, {"mitosis": said}

    formatter = shell.display_formatter.mimebundle_formatter
    formatter.for_type_by_name("matplotlib.figure", "Figure", titled)


def show_open(shell: Any, returned: Path) -> None:
    """Show the figures that are still open where matplotlib's backend shows none.

    A module that says `matplotlib.use("Agg")`, or MPLBACKEND=Agg as clusters have it, is written for a
    terminal: in a notebook its figures would be lost. Meanwhile there is no file `returned`, by which the
    launcher counts how long the kernel has had nothing to do: drawing may take its time.
    """
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    try:
        if str(pyplot.get_backend()).lower() not in _SILENT or not pyplot.get_fignums():
            return
        returned.unlink(missing_ok=True)
        from IPython.core.pylabtools import select_figure_formats
        from IPython.display import display

        select_figure_formats(shell, shell.config.InlineBackend.figure_formats)
        for number in pyplot.get_fignums():
            display(pyplot.figure(number))
    except (Exception, KeyboardInterrupt) as error:  # matplotlib of any version, an artist of somebody's own
        what = f"a figure that was left open could not be shown ({type(error).__name__}: {error})"
        notes.add("figures", what, "")
    returned.touch()


def keep(figure: Any, directory: str, number: int) -> None:
    """Write what each axes of `figure` plots to `<directory>/<number>.<axes>.csv`, in long form."""
    os.makedirs(directory, exist_ok=True)  # noqa: PTH103
    for place, axes in enumerate(figure.axes, start=1):
        rows = plotted(axes)
        first = next(rows, None)
        if first is None:
            continue
        path = os.path.join(directory, f"{number}.{place}.csv")  # noqa: PTH118
        with open(path, "w", encoding="utf-8", errors="replace", newline="") as file:  # noqa: PTH123
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerow(first)
            writer.writerows(itertools.islice(rows, MOST_ROWS - 1))
            if next(rows, None) is not None:
                what = f"only the first {MOST_ROWS:,} numbers of an axes are kept"
                notes.add("figure_data", what, title(figure))


def plotted(axes: Any) -> Iterator[Row]:
    """A row of `COLUMNS` for each point, bar and pixel that the axes shows; '' where it has no such value.

    Lines and scattered points have x and y (z in space), filled areas the corners of their outline, bars
    their middle and their end, images and meshes column, row and value. Pictures in colour are left out.
    """
    for line in axes.lines:
        coordinates = line.get_data_3d() if hasattr(line, "get_data_3d") else line.get_data(orig=True)
        yield from _rows("line", line, coordinates)
    for collection in axes.collections:
        yield from _collection(collection)
    for image in axes.images:
        yield from _pixels("image", image)
    for container in axes.containers:
        for index, patch in enumerate(getattr(container, "patches", ())):
            upright = getattr(container, "orientation", "vertical") != "horizontal"
            x = patch.get_x() + (patch.get_width() / 2 if upright else patch.get_width())
            y = patch.get_y() + (patch.get_height() if upright else patch.get_height() / 2)
            yield ("bar", container.get_label(), index, x, y, "", "")


def _collection(collection: Any) -> Iterator[Row]:
    if hasattr(collection, "get_coordinates"):  # a mesh
        yield from _pixels("mesh", collection)
    elif hasattr(collection, "_offsets3d"):
        yield from _rows("points", collection, collection._offsets3d, collection.get_array())
    elif len(collection.get_offsets()) > 1 or type(collection).__name__ == "PathCollection":
        offsets = collection.get_offsets()
        yield from _rows("points", collection, (offsets[:, 0], offsets[:, 1]), collection.get_array())
    else:
        for path in collection.get_paths():
            yield from _rows("area", collection, (path.vertices[:, 0], path.vertices[:, 1]))


def _pixels(kind: str, image: Any) -> Iterator[Row]:
    array = image.get_array()
    if array is None or getattr(array, "ndim", 0) not in (1, 2):
        return
    if array.ndim == 1:
        shape = image.get_coordinates().shape
        across = max(shape[1] - 1, 1)
    else:
        across = array.shape[1]
    for index, value in enumerate(_list(array.ravel())):
        yield (kind, image.get_label(), index, index % across, index // across, "", value)


def _rows(kind: str, artist: Any, coordinates: Iterable[Any], values: Any = None) -> Iterator[Row]:
    lists = [_list(c) for c in coordinates]
    extra = _list(values) if values is not None else []
    for index, place in enumerate(zip(*lists, strict=False)):
        z = place[2] if len(place) > 2 else ""
        value = extra[index] if index < len(extra) else ""
        yield (kind, artist.get_label(), index, place[0], place[1], z, value)


def _list(values: Any) -> list[Any]:
    """The numbers of an array, masked ones as ''."""
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    return ["" if value is None else value for value in listed]
