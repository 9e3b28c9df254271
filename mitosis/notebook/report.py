"""Turns an executed notebook into the page of its trial, and its figures into files."""

from __future__ import annotations

import base64
import binascii
import re
import shlex
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mitosis import identity
from mitosis.notebook import document, markup
from mitosis.trial import FileRecord, Outcome, Status, Trial, TrialSpec

if TYPE_CHECKING:
    from nbconvert.exporters import TemplateExporter
    from nbformat import NotebookNode

TEMPLATE = Path(__file__).parent / "template" / "report.html.j2"
FORMATS = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpeg", "application/pdf": "pdf"}
"""The MIME types that are figures, in the order in which the page prefers them, and what they are called."""

_SHOWN = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")
_LARGEST_SVG = 256_000  # characters; a larger one makes browsers slow, and is shown as PNG where there is one
_LONGEST_HTML = 256_000  # characters of one HTML output
_MOST_TEXT = 2_000_000  # characters of all outputs on a page together
_MOST_MEDIA = 24_000_000  # characters of all embedded figures together
_MOST_ROWS = 500  # of a table at the head
_OVERHEAD = 250  # characters that any output takes, however short
_TIMES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Block:
    """One thing below a cell, ready for the template; `kind` says which fields matter."""

    kind: str  # text, error, html, markdown, figure, note
    text: markup.Folded = field(default_factory=lambda: markup.Folded(""))
    label: str = ""  # stream's name, error's message, figure's title
    html: str = ""  # harmless markup, or a figure's data URI
    links: tuple[tuple[str, str], ...] = ()  # (name, address)
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
    `markup.LONGEST_TEXT // 2` characters, figures embedded up to 24 MB (the others are linked). HTML that
    the experiment displayed is reduced by `markup.harmless`; a Content-Security-Policy without scripts
    and addresses stands behind that.
    """
    from nbformat import v4

    exporter = _exporter()
    cells = list(_cells(nb, trial)) if nb is not None else []
    page = exporter.from_notebook_node(
        v4.new_notebook(), resources={"head": _head(nb, trial), "cells": cells, "readable": nb is not None}
    )[0]
    text: str = page
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates cannot be saved


@cache
def _exporter() -> TemplateExporter:
    """nbconvert's exporter for our template alone: no configuration, template or preprocessor of the user's."""
    from nbconvert.exporters import TemplateExporter
    from traitlets.config import Config

    quiet = {"RegexRemovePreprocessor": {"enabled": False}, "TagRemovePreprocessor": {"enabled": False}}
    return TemplateExporter(
        config=Config(quiet),
        template_paths=[str(TEMPLATE.parent)],
        template_file=str(TEMPLATE),
        optimistic_validation=True,
        filters={"harmless": markup.harmless},
    )


# --- the head ---------------------------------------------------------------------------------


def _head(nb: NotebookNode | None, trial: Trial) -> dict[str, Any]:
    spec, outcome = trial.spec, trial.outcome or Outcome(Status.RUNNING, "")
    main, exact = _number(outcome.main)
    measured = {"main": exact} | {name: repr(value) for name, value in outcome.metrics.items()}
    shown = {
        "id": spec.id,
        "experiment": spec.experiment,
        "variant": spec.variant,
        "seed": str(spec.seed),
        "note": spec.note,
        "main": main,
        "folder": spec.folder,
    }
    return {
        **{name: markup.visible(text) for name, text in shown.items()},
        "status": trial.status.value,
        "word": trial.status.value.replace("_", " "),
        "facts": [(name, markup.visible(text)) for name, text in _facts(spec, outcome) if text],
        "error": _error(nb, outcome),
        "taints": [(r.kind, markup.visible(r.what), markup.visible(r.where)) for r in outcome.taints],
        "notes": [
            (r.kind, markup.visible(r.what), markup.visible(r.where)) for r in (*spec.notes, *outcome.notes)
        ],
        "metrics": _table(measured if main else {}),
        "params": _table(dict(_leaves(identity.parse(spec.params)))),
        "record": [(name, [markup.visible(line) for line in lines]) for name, lines in _record(trial) if lines],
        "files": _files(spec, outcome),
    }


def _number(value: Any) -> tuple[str, str]:
    """`main` for the eye, six digits of a float, and exactly; two empty strings where there is none."""
    if value is None:
        return "", ""
    exact = document.literal(value, 10**9)[0]
    if isinstance(value, float):
        return f"{value:.6g}", exact
    return (exact if len(exact) <= 40 else f"{exact[:39]}…"), exact


def _table(rows: Mapping[str, str]) -> dict[str, Any]:
    """Rows of a table at the head, at most `_MOST_ROWS`, the values of a length that can be read."""
    shown = [
        (markup.visible(name), markup.visible(value if len(value) <= 300 else f"{value[:200]} … {value[-60:]}"))
        for name, value in list(rows.items())[:_MOST_ROWS]
    ]
    return {"rows": shown, "more": len(rows) - len(shown)}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and literal of everything in a mapping of parameters."""
    if isinstance(value, Mapping) and (value or not path):
        for key, item in value.items():
            name = key if isinstance(key, str) and key and "." not in key else repr(key)
            yield from _leaves(item, f"{path}.{name}" if path else name)
    else:
        yield path, document.literal(value, 10**9)[0]


def _facts(spec: TrialSpec, outcome: Outcome) -> Iterator[tuple[str, str]]:
    yield "trial", spec.id
    yield "commit", spec.code.commit[:10] + (" with changes" if spec.code.dirty else "")
    yield "branch", spec.code.branch or ""
    yield "started", _moment(spec.started_at)
    yield "run time", _duration(outcome.seconds)
    yield "CPU time", _duration(outcome.cpu_seconds)
    yield "host", spec.process.host
    yield "sweep", (spec.sweep or "") + (f", job {spec.job}" if spec.job is not None and spec.sweep else "")
    yield "tags", ", ".join(spec.tags)


def _moment(iso: str) -> str:
    try:
        return datetime.fromisoformat(iso.replace("Z", "+00:00")).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return iso


def _duration(seconds: float | None) -> str:
    """Seconds as a person says them: `0.012 s`, `75.3 s`, `2 h 3 min`."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.3g} s"
    parts = []
    rest = round(seconds)
    for size, unit in _TIMES:
        count, rest = divmod(rest, size)
        parts.append((count, unit))
    while not parts[0][0]:
        del parts[0]
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def _error(nb: NotebookNode | None, outcome: Outcome) -> dict[str, Any] | None:
    """What stopped the trial, with the user's traceback, or that of the notebook where none was recorded."""
    if outcome.error is None:
        return None
    trace = outcome.error.traceback
    if not trace and nb is not None:
        errors = [o for c in nb.cells for o in c.get("outputs", []) if o.output_type == "error"]
        # an error of the contract is explained by its message; the frames would be ours
        if errors and not outcome.error.kind.endswith("ContractError"):
            trace = "\n".join(errors[-1].traceback)
    message = markup.terminal(markup.cut(outcome.error.message, 4_000))
    return {"kind": markup.visible(outcome.error.kind), "message": message, "trace": markup.fold(trace)}


def _record(trial: Trial) -> Iterator[tuple[str, list[str]]]:
    """What decides the result and where it was made, in words: (name, lines)."""
    spec, outcome = trial.spec, trial.outcome
    yield "command", [" ".join(["python -m mitosis", *map(shlex.quote, spec.overrides)])]
    yield "entry point", [f"{spec.module}:{spec.function}"]
    yield "commit", [spec.code.commit]
    yield "project", [spec.code.project]
    yield "remote", [f"{spec.code.remote}{'' if spec.code.pushed else ' (not pushed)'}"] if spec.code.remote else []
    yield "code from", [spec.code.tree] if spec.code.tree not in ("", spec.code.repository) else []
    yield "parameter set", [spec.param_set.digest]
    yield "variants", [f"{v.name} version {v.version}, {v.digest[:12]}" for v in spec.variants]
    yield "environment", [spec.environment]
    yield "inputs", _listed((*spec.inputs, *(outcome.inputs if outcome else ())))
    yield "outputs", _listed(outcome.outputs if outcome else ())
    if outcome and outcome.modules:
        own = [f"{m.name}: {m.origin}" for m in outcome.modules if m.origin != "commit"]
        yield "modules", [f"{len(outcome.modules) - len(own)} as in the commit", *own[:100]]


def _listed(files: Sequence[FileRecord]) -> list[str]:
    lines = [f"{f.path}  {f.size:,} B  {f.digest[:12]}" for f in files[:100]]
    return lines + ([f"and {len(files) - 100:,} more: trial.json"] if len(files) > 100 else [])


def _files(spec: TrialSpec, outcome: Outcome) -> list[tuple[str, str]]:
    folder = Path(spec.folder)
    names = [n for n in ("result.pkl", "output.log") if (folder / n).is_file()]
    names = ["notebook.ipynb", *names, "trial.json", *(["figures/"] if outcome.figures else [])]
    return [(name, name) for name in names]


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


def _cells(nb: NotebookNode, trial: Trial) -> Iterator[Cell]:
    budget = _Budget()
    stems = _stems(nb)
    files = trial.outcome.figures if trial.outcome else ()
    by_stem: dict[str, list[str]] = {}
    for name in files:
        by_stem.setdefault(Path(name).stem, []).append(name)
    for index, cell in enumerate(nb.cells):
        tags = cell.metadata.get("tags", [])
        if "title" in tags and cell.cell_type == "markdown":
            continue  # the head says it
        figures = {o: (stem, title) for (c, o), (stem, title) in stems.items() if c == index}
        blocks = [b for b in _blocks(cell.get("outputs", []), figures, by_stem) if budget.take(b)]
        if budget.left_out:
            what = f"{budget.left_out:,} more outputs are in notebook.ipynb, their figures in figures/."
            blocks.append(Block("note", label=what))
            budget.left_out = 0
        code = cell.cell_type == "code"
        yield Cell(
            code=markup.terminal(markup.cut(cell.source)) if code else "",
            markdown=cell.source if cell.cell_type == "markdown" else "",
            long=len(cell.source) > 20_000,
            count=str(cell.get("execution_count") or ""),
            label=next((_FOLDED[t] for t in tags if t in _FOLDED), ""),
            opened=any(b.kind in ("error", "figure") for b in blocks),
            blocks=tuple(blocks),
        )


def _blocks(
    outputs: Sequence[Any], figures: Mapping[int, tuple[str, str]], by_stem: Mapping[str, Sequence[str]]
) -> Iterator[Block]:
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
            stem, title = figures.get(index, ("", ""))
            links = tuple((Path(n).suffix[1:], quote(f"figures/{n}")) for n in by_stem.get(stem, ()))
            yield from _displayed(output, title or stem, links)


def _displayed(output: Any, title: str, links: tuple[tuple[str, str], ...]) -> Iterator[Block]:
    """The one form of a displayed object that the page can show best."""
    data = {mime: _joined(value) for mime, value in output.get("data", {}).items()}
    foreign = data.get("text/html", "")[:_LONGEST_HTML]
    scripted = re.search(r"<(script|iframe)\b", foreign, re.IGNORECASE) is not None
    images = [m for m in _SHOWN if m in data]
    if len(images) > 1 and len(data[images[0]]) > _LARGEST_SVG:
        del images[0]
    clean = "" if scripted and images else markup.harmless(foreign)
    if clean:
        yield Block("html", html=clean)
    elif images or links:
        width = output.get("metadata", {}).get(images[0] if images else "", {}).get("width", "")
        address = _data_uri(images[0], data[images[0]]) if images else ""
        yield Block("figure", html=address, label=markup.visible(title), links=links, width=str(width))
    elif "text/markdown" in data:
        yield Block("markdown", html=markup.cut(data["text/markdown"]))
    elif data.get("text/plain") or data.get("text/latex"):
        yield Block("text", markup.fold(data.get("text/plain") or data["text/latex"]))
    if foreign and not clean and not images:
        yield Block("note", label="An output that needs scripts is not shown here: notebook.ipynb has it.")


def _data_uri(mime: str, content: str) -> str:
    """The address of an image that holds the image; "" where its base64 is damaged."""
    if mime == "image/svg+xml":
        content = base64.b64encode(content.encode("utf-8", "replace")).decode()
    content = "".join(content.split())
    return f"data:{mime};base64,{content}" if re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", content) else ""


def _joined(value: Any) -> str:
    """Notebooks hold a text as one string or as a list of its lines; JSON of other forms is left out."""
    if isinstance(value, list):
        return "".join(v for v in value if isinstance(v, str))
    return value if isinstance(value, str) else ""


# --- figures ----------------------------------------------------------------------------------


def figures(nb: NotebookNode, folder_figures: Path, formats: Sequence[str]) -> list[str]:
    """Write every figure that the notebook shows into `folder_figures`; returns the names of the files.

    A figure is written in each of `formats` (png, svg, pdf, jpeg) that its output carries; one that
    carries none of them, in what it has. Files are called by the figure's title, which is the output's
    metadata `mitosis: {"title": ...}`, else `figure-01` by its place among all; nbconvert's
    ExtractOutputPreprocessor decodes them. What is damaged is left out. Raises OSError.
    """
    from mitosis.folder import write_atomic

    wanted = {"jpeg" if f.lower() == "jpg" else f.lower() for f in formats}
    written: list[str] = []
    for (cell, output), (stem, _) in _stems(nb).items():
        data = nb.cells[cell].outputs[output].data
        carried = {mime for mime in FORMATS if mime in data}
        chosen = {mime for mime in carried if FORMATS[mime] in wanted} or carried
        for name, content in sorted(_extracted(data, chosen, stem)):
            folder_figures.mkdir(parents=True, exist_ok=True)
            write_atomic(folder_figures / name, content)
            written.append(name)
    return written


def _extracted(data: Mapping[str, Any], mimes: set[str], stem: str) -> Iterator[tuple[str, bytes]]:
    from nbconvert.preprocessors import ExtractOutputPreprocessor
    from nbformat import v4

    for mime in mimes:
        output = v4.new_output("display_data", {mime: _joined(data[mime])}, metadata={"filename": stem})
        resources: dict[str, Any] = {"outputs": {}}
        try:
            ExtractOutputPreprocessor(extract_output_types={mime}).preprocess_cell(
                v4.new_code_cell(outputs=[output]), resources, 0
            )
        except (binascii.Error, UnicodeError):
            continue
        yield from resources["outputs"].items()


def _stems(nb: NotebookNode) -> dict[tuple[int, int], tuple[str, str]]:
    """File name without suffix, and title, of each figure by (cell, output): unique, the same every time."""
    places = [
        (c, o)
        for c, cell in enumerate(nb.cells)
        for o, output in enumerate(cell.get("outputs", []))
        if output.output_type in ("display_data", "execute_result") and FORMATS.keys() & output.data.keys()
    ]
    digits = max(2, len(str(len(places))))
    taken: set[str] = set()
    stems = {}
    for number, (c, o) in enumerate(places, start=1):
        note = nb.cells[c].outputs[o].metadata.get("mitosis", {})
        title = str(note.get("title") or "") if isinstance(note, Mapping) else ""
        wish = _slug(title) or f"figure-{number:0{digits}d}"
        stem, again = wish, 2
        while stem.casefold() in taken:
            stem, again = f"{wish}-{again}", again + 1
        taken.add(stem.casefold())
        stems[c, o] = (stem, title)
    return stems


def _slug(title: str) -> str:
    """The letters, digits and underscores of a title, joined by hyphens; at most 150 bytes of UTF-8."""
    words = re.sub(r"[^\w]+", "-", unicodedata.normalize("NFC", title)).strip("-_")
    return words.encode()[:150].decode("utf-8", "ignore").strip("-_")
