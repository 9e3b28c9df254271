"""Turns an executed notebook into the page of its trial, and its figures into files."""

from __future__ import annotations

import base64
import binascii
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from mitosis import series, stamp
from mitosis.folder import TrialFolder
from mitosis.notebook import curves, head, markup
from mitosis.trial import Trial

if TYPE_CHECKING:
    from nbconvert.exporters import TemplateExporter
    from nbformat import NotebookNode

TEMPLATE = Path(__file__).parent / "template" / "report.html.j2"
FORMATS = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpeg", "application/pdf": "pdf"}
"""The MIME types that are figures, in the order in which the page prefers them, and what they are called."""

Links: TypeAlias = tuple[tuple[str, str], ...]  # (name, address)
Caption: TypeAlias = tuple[str, Links]
Place: TypeAlias = tuple[int, int]  # number of the cell, number of its output

_SHOWN = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")
_OBJECT = re.compile(r"<[\w.]+(?: object)?(?: at 0x\w+)?>")  # Python's words for what has no text
_LARGEST_SVG = 256_000  # characters; a larger one makes browsers slow, and is shown as PNG where there is one
_LONGEST_HTML = 256_000  # characters of one HTML output
_MOST_TEXT = 2_000_000  # characters of all outputs on a page together
_MOST_MEDIA = 24_000_000  # characters of all embedded figures together
_OVERHEAD = 250  # characters that any output takes, however short


@dataclass(frozen=True, slots=True)
class Block:
    """One thing below a cell, ready for the template; `kind` says which fields matter."""

    kind: str  # text, error, html, markdown, figure, note
    text: markup.Folded = field(default_factory=lambda: markup.Folded(""))
    label: str = ""  # stream's name, error's message, figure's title
    html: str = ""  # harmless markup, or a figure's data URI
    links: Links = ()
    width: str = ""  # of a figure, pixels


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the page: its code or Markdown, and the blocks below."""

    code: str
    markdown: str
    long: bool  # too long to be coloured in reasonable time
    count: str  # execution count, "" where it did not run
    label: str  # of a cell that is folded: "Set-up"
    opened: bool  # a folded cell that is shown open because something happened in it
    blocks: tuple[Block, ...]


def html(nb: NotebookNode | None, trial: Trial) -> str:
    """The page of a trial: one self-contained HTML document that loads nothing and runs no script.

    `nb` may be executed in part or not at all, and None where it could not be read. The page shows the
    trial at its head and the notebook below it: long outputs folded, each cut to its first and last
    `markup.LONGEST_TEXT // 2` characters, figures embedded up to 24 MB (the others are counted). HTML that
    the experiment displayed is reduced by `markup.harmless`; a Content-Security-Policy without scripts
    and addresses stands behind that.
    """
    from nbformat import v4

    exporter = _exporter()
    cells = list(_cells(nb, trial)) if nb is not None else []
    page = exporter.from_notebook_node(
        v4.new_notebook(),
        resources={
            "head": head.view(nb, trial),
            "cells": cells,
            "readable": nb is not None,
            "curves": curves.curves(series.read(TrialFolder(trial.spec.folder))),
            "size": (curves.WIDTH, curves.HEIGHT),
            "mark": markup.visible(str(stamp.origin(trial.spec))),
        },
    )[0]
    text: str = page
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates cannot be saved


@cache
def _exporter() -> TemplateExporter:
    """nbconvert's exporter for our template alone: no configuration, template or preprocessor else."""
    from nbconvert.exporters import TemplateExporter

    return TemplateExporter(
        template_paths=[str(TEMPLATE.parent)],
        template_file=str(TEMPLATE),
        optimistic_validation=True,
        filters={"prose": markup.prose},
    )


def warm() -> None:
    """Load what the first page needs; done beside the experiment, so that nobody waits for it."""
    _exporter().template  # noqa: B018 - it is read from disk and compiled when it is first asked for


# --- the cells --------------------------------------------------------------------------------

_FOLDED = {"setup": "Set-up", "parameters": "Parameters", "metrics": "Metrics"}


@dataclass(slots=True)
class _Budget:
    """How much a page may still hold, and what did not fit into it."""

    text: int = _MOST_TEXT
    media: int = _MOST_MEDIA
    left_out: int = 0

    def take(self, block: Block) -> bool:
        """Whether the block still fits; it is counted as left out where not."""
        size = len(block.text.before) + len(block.text.end) + _OVERHEAD
        figure = block.kind == "figure"
        size += 0 if figure else len(block.html)
        if size > self.text or (figure and len(block.html) > self.media):
            self.left_out += 1
            return False
        self.text -= size
        self.media -= len(block.html) if figure else 0
        return True


def _captions(nb: NotebookNode, names: Sequence[str]) -> dict[Place, Caption]:
    """Caption and files of each figure; `names` are the files in figures/."""
    links: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        stem, _, kind = name.partition(".")  # names of files that we give have no dot in front of these
        links.setdefault(stem, []).append((kind, quote(f"figures/{name}")))
    return {
        place: (markup.visible(title or stem), tuple(links.get(stem, ())))
        for place, (stem, title) in _stems(nb).items()
    }


def _cells(nb: NotebookNode, trial: Trial) -> Iterator[Cell]:
    budget = _Budget()
    captions = _captions(nb, trial.outcome.figures if trial.outcome else ())
    for index, cell in enumerate(nb.cells):
        tags = cell.metadata.get("tags", [])
        if "title" in tags and cell.cell_type == "markdown":
            continue  # the head says it
        blocks = [b for b in _blocks(index, cell.get("outputs", []), captions) if budget.take(b)]
        if budget.left_out:
            what = f"{budget.left_out:,} more outputs are in notebook.ipynb, their figures in figures/."
            blocks.append(Block("note", label=what))
            budget.left_out = 0
        code = cell.cell_type == "code"
        yield Cell(
            code=markup.visible_lines(markup.cut(cell.source)) if code else "",
            markdown=cell.source if cell.cell_type == "markdown" else "",
            long=len(cell.source) > 20_000,
            count=str(cell.get("execution_count") or ""),
            label=next((_FOLDED[t] for t in tags if t in _FOLDED), ""),
            opened=any(b.kind in ("error", "figure") for b in blocks),
            blocks=tuple(blocks),
        )


def _blocks(cell: int, outputs: Sequence[Any], captions: Mapping[Place, Caption]) -> Iterator[Block]:
    """The blocks of a cell's outputs: what a stream wrote in several pieces is one."""
    pieces: list[str] = []
    for index, output in enumerate(outputs):
        kind = output.output_type
        if kind == "stream":
            pieces.append(_joined(output.text))
            following = outputs[index + 1] if index + 1 < len(outputs) else {}
            if following.get("name") != output.name:
                yield Block("text", markup.fold("".join(pieces)), label=str(output.name))
                pieces = []
        elif kind == "error":
            label = markup.visible(f"{output.ename}: {output.evalue}"[:300])
            yield Block("error", markup.fold("\n".join(output.traceback)), label)
        else:
            yield from _displayed(output, *captions.get((cell, index), ("", ())))


def _displayed(output: Any, title: str, links: Links) -> Iterator[Block]:
    """The one form of a displayed object that the page can show best."""
    data = {mime: _joined(value) for mime, value in output.get("data", {}).items()}
    foreign = data.get("text/html", "")[:_LONGEST_HTML]
    scripted = re.search(r"<(script|iframe)\b", foreign, re.IGNORECASE) is not None
    plain = data.get("text/plain") or data.get("text/latex", "")
    images = [m for m in _SHOWN if m in data]
    if len(images) > 1 and len(data[images[0]]) > _LARGEST_SVG:
        del images[0]
    clean = "" if scripted and images else markup.harmless(foreign)
    if clean:
        yield Block("html", html=clean)
    elif images or links:
        width = output.get("metadata", {}).get(images[0] if images else "", {}).get("width", "")
        address = _data_uri(images[0], data[images[0]]) if images else ""
        yield Block("figure", html=address, label=title, links=links, width=str(width))
    elif "text/markdown" in data:
        yield Block("markdown", html=markup.cut(data["text/markdown"]))
    elif plain and not (foreign and _OBJECT.fullmatch(plain)):
        yield Block("text", markup.fold(plain))
    if clean and len(data["text/html"]) > _LONGEST_HTML:
        yield Block("note", label="This output goes on in notebook.ipynb.")
    if foreign and not clean and not images:
        yield Block("note", label="An output that needs scripts is not shown here: notebook.ipynb has it.")


def _data_uri(mime: str, content: str) -> str:
    """The address of an image that holds the image; "" where its base64 is damaged."""
    if mime == "image/svg+xml":
        content = base64.b64encode(content.encode("utf-8", "replace")).decode()
    content = _base64(content)
    return f"data:{mime};base64,{content}" if content else ""


def _base64(content: str) -> str:
    """`content` without the line ends, which notebooks have in base64; "" where it is no base64."""
    content = "".join(content.split())
    return content if re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", content) else ""


def _joined(value: Any) -> str:
    """Notebooks hold a text as one string or as a list of its lines; JSON of other forms is left out."""
    if isinstance(value, list):
        return "".join(v for v in value if isinstance(v, str))
    return value if isinstance(value, str) else ""


# --- figures ----------------------------------------------------------------------------------


def figures(
    nb: NotebookNode, folder_figures: Path, formats: Sequence[str], mark: stamp.Origin | None = None
) -> list[str]:
    """Write every figure that the notebook shows into `folder_figures`; returns the names of the files.

    A figure is written in each of `formats` (png, svg, pdf, jpeg) that its output carries; one that
    carries none of them, in what it has. Files are called by the figure's title, which is the output's
    metadata `mitosis: {"title": ...}`, else `figure-01` by its place among all; nbconvert's
    ExtractOutputPreprocessor decodes them. Each file carries `mark`. What is damaged is left out. Raises
    OSError.
    """
    wanted = {"jpeg" if f.lower() == "jpg" else f.lower() for f in formats}
    written: list[str] = []
    for (cell, output), (stem, _) in _stems(nb).items():
        data = nb.cells[cell].outputs[output].data
        carried = {mime for mime in FORMATS if mime in data}
        chosen = {mime for mime in carried if FORMATS[mime] in wanted} or carried
        for name, content in sorted(_extracted(data, chosen, stem)):
            folder_figures.mkdir(parents=True, exist_ok=True)
            # neither renamed nor awaited: the notebook has it, too
            (folder_figures / name).write_bytes(stamp.stamped(content, [mark]) if mark else content)
            written.append(name)
    return written


def data(nb: NotebookNode, left: Path, folder_figures: Path) -> list[str]:
    """Move what the kernel `left` of the figures' numbers beside them; returns the names of the files.

    They are called like the figure, `Attractor.csv`; of several axes `Attractor.1.csv`, `Attractor.2.csv`.
    Raises OSError.
    """
    if not left.is_dir():
        return []
    written = []
    for (cell, output), (stem, _) in _stems(nb).items():
        note = nb.cells[cell].outputs[output].metadata.get("mitosis", {})
        number = note.get("data") if isinstance(note, Mapping) else None
        found = sorted(left.glob(f"{number}.*.csv"), key=lambda p: int(p.suffixes[0][1:])) if number else []
        for place, file in enumerate(found, start=1):
            name = f"{stem}.csv" if len(found) == 1 else f"{stem}.{place}.csv"
            folder_figures.mkdir(parents=True, exist_ok=True)
            file.replace(folder_figures / name)
            written.append(name)
    shutil.rmtree(left, ignore_errors=True)
    return written


def _extracted(data: Mapping[str, Any], mimes: set[str], stem: str) -> Iterator[tuple[str, bytes]]:
    from nbconvert.preprocessors import ExtractOutputPreprocessor
    from nbformat import NotebookNode

    for mime in mimes:
        content = _joined(data[mime])
        if not (content if mime == "image/svg+xml" else _base64(content)):
            continue
        output = NotebookNode(
            output_type="display_data", data={mime: content}, metadata=NotebookNode(filename=stem)
        )
        resources: dict[str, Any] = {"outputs": {}}
        try:
            ExtractOutputPreprocessor(extract_output_types={mime}).preprocess_cell(
                NotebookNode(outputs=[output]), resources, 0
            )
        except (binascii.Error, UnicodeError):  # the padding is missing; a lone surrogate
            continue
        yield from resources["outputs"].items()


def _stems(nb: NotebookNode) -> dict[Place, tuple[str, str]]:
    """File name without suffix, and title, of each figure by (cell, output): unique, the same every time."""
    places = [
        (c, o)
        for c, cell in enumerate(nb.cells)
        for o, output in enumerate(cell.get("outputs", []))
        if output.output_type in ("display_data", "execute_result") and FORMATS.keys() & output.data.keys()
    ]
    digits = max(2, len(str(len(places))))
    taken: set[str] = set()
    again: Counter[str] = Counter()
    stems = {}
    for number, (c, o) in enumerate(places, start=1):
        note = nb.cells[c].outputs[o].metadata.get("mitosis", {})
        title = str(note.get("title") or "") if isinstance(note, Mapping) else ""
        wish = _slug(title) or f"figure-{number:0{digits}d}"
        stem = wish
        while stem.casefold() in taken:  # file systems that ignore case exist
            again[wish] += 1
            stem = f"{wish}-{again[wish] + 1}"
        taken.add(stem.casefold())
        stems[c, o] = (stem, title)
    return stems


def _slug(title: str) -> str:
    """The letters, digits and underscores of a title, joined by hyphens; at most 150 bytes of UTF-8."""
    words = re.sub(r"[^\w]+", "-", unicodedata.normalize("NFC", title)).strip("-_")
    return words.encode()[:150].decode("utf-8", "ignore").strip("-_")
