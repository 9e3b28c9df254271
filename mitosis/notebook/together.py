"""One page for several trials: what differs between them, what came out, and their figures side by side."""

from __future__ import annotations

import base64
import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitosis import compare, differences, groups, identity, series
from mitosis.folder import TrialFolder
from mitosis.notebook import curves, markup
from mitosis.trial import JSON, Status, Summary, Trial, utc_now

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = "together.html.j2"
_MEDIA = {"svg": "svg+xml", "png": "png", "jpeg": "jpeg"}  # formats that a page can show, the best first
_LARGEST_SVG = 256_000  # bytes; a larger one makes browsers slow
_MOST_MEDIA = 18_000_000  # bytes of all figures together, so that the page can be mailed
_MOST_LINES = 400  # of the difference between two versions of a file
_MOST_ROWS = 300  # of a table
_MOST_CURVES = 60


@dataclass(frozen=True, slots=True)
class Table:
    """Names with a cell for each column; only rows whose cells differ, where it is of differences."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    more: int = 0  # rows that are not shown


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure or series of one trial."""

    caption: str
    address: str = ""  # data URI of a figure
    curve: curves.Curve | None = None


@dataclass(slots=True)
class _Budget:
    media: int = _MOST_MEDIA
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Sources:
    """What the page needs besides the trials: asked of the store, of git and of what draws."""

    summaries: Sequence[Summary]  # of the same trials, in the same order
    environments: Mapping[str, Mapping[str, JSON] | None] = field(default_factory=dict)  # by digest
    blob: Callable[[Trial, str], bytes | None] = lambda _trial, _blob: None  # content under git's hash
    picture: bytes | None = None  # SVG of `main` by group


def page(trials: Sequence[Trial], sources: Sources) -> str:
    """The page: one HTML document that loads nothing, runs no script, and shows what differs first.

    `trials` are of any status, in the order in which the page lists them.
    """
    labels = _labels(sources.summaries)
    content = {
        "title": _title(trials),
        "made": utc_now()[:16].replace("T", " "),
        "trials": [_line(t, labels[t.id]) for t in trials],
        "statistics": list(_statistics(sources.summaries)),
        "counted": _counted(sources.summaries),
        "picture": _address("svg", sources.picture) if sources.picture else "",
        "params": _params(trials, labels),
        "code": list(_code(trials, labels, sources.blob)),
        "inputs": _differing(_by_label(trials, labels, _inputs)),
        "environment": _environment(trials, sources.environments),
        "figures": None,
        "series": list(_series(trials)),
        "remarks": [_remarks(t) for t in trials if t.outcome and (t.outcome.taints or t.outcome.notes)],
        "size": (curves.WIDTH, curves.HEIGHT),
    }
    budget = _Budget()
    content["figures"] = list(_figures(trials, budget))
    content["left_out"] = budget.left_out
    text = _template().render(content)
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates cannot be saved


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(Path(__file__).parent / "template")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(TEMPLATE)


def _title(trials: Sequence[Trial]) -> str:
    names = list(dict.fromkeys(t.spec.experiment for t in trials))
    shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    return markup.visible(f"{len(trials)} trial{'s' if len(trials) != 1 else ''} of {shown}")


def _line(trial: Trial, label: str) -> dict[str, Any]:
    spec, outcome = trial.spec, trial.outcome
    error = outcome.error if outcome else None
    return {
        "id": spec.id,
        "experiment": markup.visible(spec.experiment),
        "label": markup.visible(label),
        "seed": str(spec.seed),
        "status": trial.status.value,
        "word": trial.status.value.replace("_", " "),
        "main": _number(outcome.main) if outcome and trial.status is Status.SUCCEEDED else "",
        "commit": spec.code.commit[:7] + ("+" if spec.code.dirty else ""),
        "started": spec.started_at[:16].replace("T", " "),
        "taints": len(outcome.taints) if outcome else 0,
        "note": markup.visible(spec.note[:300]),
        "error": markup.visible(f"{error.kind}: {error.message}"[:500]) if error else "",
    }


def _labels(summaries: Sequence[Summary]) -> dict[str, str]:
    """What the group of each trial is called: its variant, with its experiment where there are several."""
    several = len({s.experiment for s in summaries}) > 1
    by = ("experiment", "variant") if several else ("variant",)
    found = compare.grouped([(s, 0.0) for s in summaries], by)
    return {s.id: group.label for group in found for s in group.trials}


# --- what came out --------------------------------------------------------------------------------


def _statistics(summaries: Sequence[Summary]) -> Iterator[dict[str, Any]]:
    """For each metric a table of the groups over their seeds, and in words how each pair differs."""
    selection = groups.select(summaries, lambda _trial: {}, mix_code=True)
    done = selection.counted
    several = len({s.experiment for s in done}) > 1
    by = ("experiment", groups.EVERYTHING) if several else (groups.EVERYTHING,)
    for metric in ("main", *sorted({name for s in done for name in s.metrics} - {"main"})):
        found = compare.compare(done, metric, by)
        if not found.groups:
            continue
        rows = []
        for group in found.groups:
            s = group.statistics
            interval = "" if s.ci_low is None else f"{_number(s.ci_low)} to {_number(s.ci_high)}"
            cells = (str(s.n), _number(s.mean), _number(s.std), interval, _number(s.min), _number(s.max))
            rows.append((markup.visible(group.label), cells))
        columns = ("n", "mean", "std", "95 % interval of the mean", "min", "max")
        words = [_pair(p) for p in found.pairs[:12]] if metric == "main" else []
        yield {"metric": markup.visible(metric), "table": Table(columns, tuple(rows)), "pairs": words}


def _counted(summaries: Sequence[Summary]) -> str:
    """How many of the trials the statistics are of, and why not of the others."""
    selection = groups.select(summaries, lambda _trial: {}, mix_code=True)
    reasons = [f"{len(t)} {reason.replace('_', ' ')}" for reason, t in selection.left_out.items()]
    said = f"{len(selection.counted)} of {len(summaries)} trials count; trials of other code are groups apart"
    return said + (f"; left out: {', '.join(reasons)}" if reasons else "")


def _pair(pair: compare.Pair) -> str:
    a, b = markup.visible(pair.a), markup.visible(pair.b)
    if pair.within_chance is None:
        return f"{a} and {b}: nothing can be said, there are too few seeds."
    method = compare.PAIRED if pair.paired else compare.WELCH
    chance = "could" if pair.within_chance else "do not"
    said = f"{a} less {b}: {_number(pair.difference)}, 95 % interval {_number(pair.ci_low)} to"
    return f"{said} {_number(pair.ci_high)} ({method}); the seeds alone {chance} explain it."


def _number(value: JSON) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else markup.visible(identity.shown(value, 40))


# --- what differs ---------------------------------------------------------------------------------


def _differing(columns: Mapping[str, Mapping[str, str]]) -> Table:
    """The names under which the columns have not the same text; one that has none is `(absent)`."""
    names = sorted({name for column in columns.values() for name in column})
    rows = []
    for name in names:
        cells = tuple(column.get(name, "(absent)") for column in columns.values())
        if len(set(cells)) > 1:
            rows.append((markup.visible(name), tuple(markup.visible(c) for c in cells)))
    titles = tuple(markup.visible(label) for label in columns)
    return Table(titles, tuple(rows[:_MOST_ROWS]), max(len(rows) - _MOST_ROWS, 0))


def _by_label(
    trials: Iterable[Trial], labels: Mapping[str, str], of: Callable[[Trial], Iterable[tuple[str, str]]]
) -> dict[str, dict[str, str]]:
    """For each group, the texts of its trials by name: several, where its trials differ in it."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for trial in trials:
        column = found.setdefault(labels[trial.id], {})
        for name, text in of(trial):
            column.setdefault(name, {})[text] = None
    return {label: {n: " or ".join(texts) for n, texts in column.items()} for label, column in found.items()}


def _params(trials: Sequence[Trial], labels: Mapping[str, str]) -> Table:
    """Keys of the parameter sets; a leaf that follows the seed is the same for all seeds."""
    first = trials[0].spec.param_set.text
    keys: dict[str, Any] = {}
    against: dict[str, dict[str, Any]] = {}
    for text in dict.fromkeys(t.spec.param_set.text for t in trials):
        against[text] = {key: new for key, _, new in identity.differences(first, text)}
        keys |= {key: old for key, old, _ in identity.differences(first, text)}

    def of(trial: Trial) -> Iterator[tuple[str, str]]:
        for key, old in keys.items():
            value = against[trial.spec.param_set.text].get(key, old)
            if value is not identity.MISSING:
                yield key or "params", identity.shown(value, 120)

    return _differing(_by_label(trials, labels, of))


def _inputs(trial: Trial) -> Iterator[tuple[str, str]]:
    for path, record in differences.read(trial).items():
        yield path, record.digest[:12]


def _environment(trials: Sequence[Trial], known: Mapping[str, Mapping[str, JSON] | None]) -> Table:
    """A column for each environment, called by the trials that ran in it."""
    columns: dict[str, dict[str, str]] = {}
    by_digest: dict[str, list[str]] = defaultdict(list)
    for trial in trials:
        by_digest[trial.spec.environment].append(trial.id)
    for digest, ids in by_digest.items():
        label = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
        label = f"{label} ({digest[:7]})" if label in columns else label
        content = known.get(digest)
        columns[label] = differences.facts(content) if content is not None else {"environment": digest[:12]}
    return _differing(columns)


def _code(
    trials: Sequence[Trial], labels: Mapping[str, str], blob: Callable[[Trial, str], bytes | None]
) -> Iterator[dict[str, Any]]:
    """For each file of which trials loaded different versions: who loaded which, and what differs."""
    versions: dict[str, dict[str, list[Trial]]] = defaultdict(lambda: defaultdict(list))
    for trial in reversed(trials):
        for path, digest in differences.loaded(trial).items():
            versions[path][digest].append(trial)
    for path in sorted(p for p, found in versions.items() if len(found) > 1):
        blobs = versions[path]
        who = [(digest[:10], _who(loaded, labels)) for digest, loaded in blobs.items()]
        pairs = list(zip(blobs, list(blobs)[1:], strict=False))
        patches = [
            _patch(path, (old, blob(blobs[old][0], old)), (new, blob(blobs[new][0], new)))
            for old, new in pairs
        ]
        yield {"path": markup.visible(path), "versions": who, "patches": patches}


def _who(trials: Sequence[Trial], labels: Mapping[str, str]) -> str:
    names = dict.fromkeys(f"{labels[t.id]} seed {t.spec.seed}" for t in trials)
    shown = list(names)[:4]
    return markup.visible(", ".join(shown) + (f" and {len(names) - 4} more" if len(names) > 4 else ""))


def _patch(
    path: str, old: tuple[str, bytes | None], new: tuple[str, bytes | None]
) -> list[tuple[str, str]] | None:
    """The lines that differ, each with its kind: `add`, `del`, `at` or ``; None where git has them not."""
    if old[1] is None or new[1] is None:
        return None
    before, after = (side.decode("utf-8", "replace").splitlines() for side in (old[1], new[1]))
    found = difflib.unified_diff(before, after, f"{path} {old[0][:10]}", f"{path} {new[0][:10]}", lineterm="")
    kinds = {"+": "add", "-": "del", "@": "at"}
    lines = [(kinds.get(line[:1], ""), markup.visible_lines(line)) for line in found]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [("at", f"... {len(lines) - _MOST_LINES:,} more lines")]
    return lines


# --- figures and series -----------------------------------------------------------------------------


def _figures(trials: Sequence[Trial], budget: _Budget) -> Iterator[tuple[str, list[Panel]]]:
    """By the figure's name, the figure of each trial that has it."""
    found: dict[str, list[Panel]] = defaultdict(list)
    for trial in trials:
        files: dict[str, dict[str, Path]] = defaultdict(dict)
        for name in trial.outcome.figures if trial.outcome else ():
            files[name.partition(".")[0]][name.rpartition(".")[2]] = (
                TrialFolder(trial.spec.folder).figures / name
            )
        for stem, formats in files.items():
            address = _shown(formats, budget)
            if address:
                found[stem].append(Panel(_caption(trial), address))
    for stem, panels in found.items():
        yield markup.visible(stem.replace("-", " ")), panels


def _shown(formats: Mapping[str, Path], budget: _Budget) -> str:
    for kind in _MEDIA:
        try:
            content = formats[kind].read_bytes() if kind in formats else b""
        except OSError:
            continue  # the folder is elsewhere, or was cleaned
        if not content or (kind == "svg" and len(content) > _LARGEST_SVG and len(formats) > 1):
            continue
        if len(content) > budget.media:
            budget.left_out += 1
            return ""
        budget.media -= len(content)
        return _address(kind, content)
    return ""


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{_MEDIA[kind]};base64,{base64.b64encode(content).decode()}"


def _series(trials: Sequence[Trial]) -> Iterator[tuple[str, list[Panel]]]:
    found: dict[str, list[Panel]] = defaultdict(list)
    for trial in trials[:_MOST_CURVES]:
        for one in curves.curves(series.read(TrialFolder(trial.spec.folder))):
            found[one.name].append(Panel(_caption(trial), curve=one))
    yield from found.items()


def _caption(trial: Trial) -> str:
    spec = trial.spec
    return markup.visible(f"{spec.variant}, seed {spec.seed} ({spec.id})")


def _remarks(trial: Trial) -> dict[str, Any]:
    assert trial.outcome is not None
    kinds = (("taint", trial.outcome.taints), ("note", trial.outcome.notes))
    lines = [
        (kind, *(markup.visible(text) for text in (r.kind.replace("_", " "), r.what, r.where)))
        for kind, remarks in kinds
        for r in remarks[:20]
    ]
    return {"caption": _caption(trial), "lines": lines}
