"""`mitosis plot`: a metric over what was swept, or a logged series, as a picture or an interactive page."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mitosis import charts, looks, series, stamp
from mitosis.cli import answers, locate, sample, tables, text
from mitosis.errors import Refused
from mitosis.folder import TrialFolder, write_atomic
from mitosis.trial import Summary

if TYPE_CHECKING:
    from mitosis.store.store import Store

_MOST_LINES = 20  # of logged series, where the trials are not named


@click.command()
@click.argument("what", nargs=-1)
@click.option("--x", default="", metavar="NAME", help="What to plot along: params.dt, model, metrics.loss.")
@click.option("--y", default="", metavar="NAME", help="The second name of a heat map.")
@click.option(
    "--by", multiple=True, metavar="NAMES", help="A colour for each: model, params.dt; several by commas."
)
@click.option("--kind", type=click.Choice(charts.KINDS), help="Instead of the kind that fits.")
@click.option("--series", "logged", metavar="NAME", help="A series that WHAT (trials) logged while they ran.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="FILE.png, .svg, .pdf or .html (interactive); default: a PNG in the root's plots/.",
)  # fmt: skip
@sample.options
@locate.store_option
def command(
    what: tuple[str, ...],
    x: str,
    y: str,
    by: tuple[str, ...],
    kind: str | None,
    logged: str | None,
    output: Path | None,
    url: str | None,
    **wanted: Any,
) -> int:
    """Draw WHAT: main (the default) or a metric; with --series, trials.

    The picture is a line with its 95 % interval along a swept number, points with intervals along anything
    else, a scatter along a measured number, a heat map for --x with --y.
    """
    kind_of_file = _format(output)
    if not looks.available():
        raise Refused("drawing needs altair and vl-convert", "install them: pip install 'mitosis[plot]'")
    names = sample.names(by)
    if logged is not None:
        if x or y or kind:
            raise Refused(
                "--series is drawn by step: --x, --y and --kind do not go with it", "leave them out"
            )
        with locate.required(url, what[0] if what else "") as store:
            found = _series(store, what, logged, wanted, url)
        trials = [trial for trial, _ in found]
        chart, name = charts.of_series(logged, found, names), logged
    else:
        if len(what) > 1:
            raise Refused(
                f"one metric is drawn at a time, not {' '.join(what)}", "name one: mitosis plot main"
            )
        metric = what[0] if what else "main"
        with locate.opened(url) as store:
            picked = sample.choose(store, wanted, (*names, x, y))
        trials = list(picked.selection.counted) if picked is not None else []
        if picked is None or not trials:
            raise Refused("there is no succeeded trial to draw", "see what there is: mitosis ls")
        given = charts.Wanted(metric, x, y, names, kind or "")
        chart, name = (
            charts.of_metric(picked.experiment, trials, given),
            "-".join(filter(None, (metric, x, y, *names))),
        )
        print(sample.told(sample.left_out(picked.selection), len(trials), trials[0]), file=sys.stderr)
    content = stamp.stamped(looks.rendered(chart, kind_of_file), [stamp.origin(t) for t in trials])
    file = output or _place(url, f"{trials[0].experiment}-{name}")
    _write(file, content)
    print(file)
    tables.hint(f"mitosis whence {shlex.quote(str(file))}", after=" says which trials it shows")
    if output is None and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(file.absolute().as_uri())
    return 0


def _format(output: Path | None) -> str:
    kind = output.suffix[1:].lower() if output is not None else "png"
    if kind not in looks.FORMATS:
        raise Refused(
            f"{output} names no format that can be drawn", f"end it in .{', .'.join(looks.FORMATS)}"
        )
    return kind


def _series(
    store: Store, names: tuple[str, ...], logged: str, wanted: dict[str, Any], url: str | None
) -> list[tuple[Summary, series.Series]]:
    """The trials that logged the series, with it: those named, else the newest that may be mixed."""
    if names:
        project = locate.scope(url)
        trials = [answers.summary_of(store.get(name, project)) for name in names]
    else:
        picked = sample.choose(store, wanted, ())
        trials = list(picked.selection.counted[:_MOST_LINES]) if picked is not None else []
    found: list[tuple[Summary, series.Series]] = []
    others: set[str] = set()
    for trial in trials:
        had = {one.name: one for one in series.read(TrialFolder(trial.folder))}
        others |= had.keys()
        if logged in had:
            found.append((trial, had[logged]))
    if not found:
        there = f"they logged {', '.join(sorted(others))}" if others else "they logged nothing"
        raise Refused(f"none of {len(trials)} trials logged {logged!r}", f"{there}: mitosis show --series ID")
    return found


def _place(url: str | None, name: str) -> Path:
    """Where a picture goes that nobody named: into the root, which git ignores, never into the tree."""
    store = locate.url_of(url)
    root = locate.root_of(store) if store else None
    if root is None and store and store.startswith("sqlite:///"):
        root = str(Path(store.removeprefix("sqlite:///")).parent)
    slug = re.sub(r"[^\w.]+", "-", name).strip("-.")
    return (Path(root) / "plots" if root else Path.cwd()) / f"{slug}.png"


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refused(
            f"{text.safe(str(file))} cannot be written: {reason}", "name another: -o FILE"
        ) from error
