"""`mitosis diff`: what differs between two trials, variants or sweeps, grouped by cause."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import click

from mitosis import differences, finding, identity, telling
from mitosis.again import noise, unseen
from mitosis.capture import git
from mitosis.cli import answers, chosen, export, locate, tables, text
from mitosis.differences import Change, Differences, Metric
from mitosis.errors import RepositoryRefused
from mitosis.frame import Frame
from mitosis.trial import JSON

if TYPE_CHECKING:
    from mitosis.store.store import Store


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--patch", is_flag=True, help="The lines of the code that differ, as git shows them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@tables.export_options("a line for each thing that differs")
@locate.store_option
def command(
    a: str, b: str, patch: bool, as_json: bool, as_csv: bool, parquet: Path | None, url: str | None
) -> int:
    """Show what differs between A and B: trials, variants (`fast`, `toy/fast`) or sweeps."""
    tables.one_form(as_json, as_csv, parquet)
    with locate.required(url, a) as store:
        project = locate.scope(url)
        sides = chosen.chosen(store, a, project), chosen.chosen(store, b, project)
        digests = {t.spec.environment for side in sides for t in side.trials}
        environments = {digest: store.environment(digest) for digest in digests}
        floor = _noise(store, sides)
    found = differences.between(sides[0].trials, sides[1].trials, environments)
    repository = finding.home(sides[1].trial)
    if found.not_reproducible and all(side.single for side in sides):
        found = _unseen(found, sides, repository)
    told = _Code(repository, found, patch)
    if as_json:
        known = noise.document(floor) if floor is not None else None
        answers.emit({**document(found, sides, told), "noise": known})
    elif as_csv or parquet:
        export.write(_frame(found), parquet)
    else:
        with tables.paged():
            print("\n".join(lines(found, sides, told, floor)))
        tables.hint(_next(found, sides))
    return 0


def _unseen(found: Differences, sides: Sequence[chosen.Chosen], repository: Path) -> Differences:
    """The differences with the files that one commit alone has: nothing else can have made another result."""
    a, b = (side.trial for side in sides)
    with contextlib.suppress(RepositoryRefused):  # a commit is gone: nothing is known of its files
        return unseen.added(found, a, b, repository)
    return found


def _noise(store: Store, sides: Sequence[chosen.Chosen]) -> noise.Noise | None:
    """The noise of a's recipe, or of b's, where one trial stands against one; None where it is not known."""
    if not all(side.single for side in sides):
        return None
    found = [noise.noise_of(store, side.trial) for side in sides]
    known = [n for n in found if n.repeats is not None or n.seeds is not None]
    return max(known, key=lambda n: n.chance, default=None)


class _Code:
    """What git says of the two sides' commits, where each side has one."""

    def __init__(self, repository: Path, found: Differences, patch: bool) -> None:
        from mitosis.capture import history

        self.apart: history.Distance | None = None
        self.patch: str | None = None
        old, new = found.commits
        if len(old) == len(new) == 1 and old != new:
            self.apart = history.distance(repository, old[0], new[0])
            paths = [c.name for c in found.files if not c.name.startswith("/")]
            if patch and self.apart is not None:
                self.patch = history.patch(repository, old[0], new[0], paths) if paths else ""

    def line(self, found: Differences) -> str:
        """How far the commits are apart, and whether that touches what was loaded."""
        if found.commits[0] == found.commits[1]:
            return "one commit"
        where = str(self.apart) if self.apart is not None else "other commits"
        if found.code_known and not found.files:
            return f"{where}, none touches a file these trials load{_added(found)}"
        return where if found.code_known else f"{where}; what a trial loaded is not known"


def _added(found: Differences) -> str:
    """The files that one of the commits alone has, where nothing else differs."""
    unseen = sorted((*found.unseen_code, *found.unseen_data))
    return f"; only one of them has {text.safe(git.listed(unseen))}" if unseen else ""


def lines(
    found: Differences, sides: Sequence[chosen.Chosen], told: _Code, floor: noise.Noise | None
) -> Iterator[str]:
    """The answer as text: only what differs."""
    for mark, side in zip("ab", sides, strict=True):
        taints = sum(len(t.outcome.taints) for t in side.trials if t.outcome)
        yield f"{mark}  {side.name}" + (f"  ({taints} taints: mitosis show)" if taints else "")
    yield f"causes: {', '.join(found.causes) or 'none differs'}"
    yield from _block("params", [*found.params, *found.variants])
    if found.commits[0] != found.commits[1] or "code" in found.causes:
        yield from ("", f"code: {told.line(found)}")
        yield from _rows([*found.entry_point, *found.lookups])
        yield from _files(found.files)
    yield from _block("inputs", found.inputs, short=True)
    yield from _block("seed", found.seed)
    yield from _block("environment", found.environment)
    if found.statuses[0] != found.statuses[1]:
        yield from ("", f"status  {' '.join(found.statuses[0])} -> {' '.join(found.statuses[1])}")
    if found.metrics:
        yield from ("", "metrics")
        yield from ("  " + line for line in tables.plain(*_metrics(found.metrics)))
        yield from _chance(found, floor)
    if told.patch:
        yield from ("", *text.safe_lines(told.patch.replace("\t", "    ")))
    said = _said(found)
    yield from ("", said) if said else ()


def _chance(found: Differences, floor: noise.Noise | None) -> Iterator[str]:
    """Whether the change of main is one that chance alone makes, where that is known."""
    main = next((m for m in found.metrics if m.name == "main" and m.absolute is not None), None)
    if main is None or main.absolute is None or floor is None:
        return
    if abs(main.absolute) <= floor.floor:
        yield "  main: within noise; repeats with the same seed differ as much"
    elif "seed" in found.causes and abs(main.absolute) <= floor.chance:
        yield "  main: within noise; from seed to seed it differs as much"


def _said(found: Differences) -> str:
    """What the lists above do not say by themselves."""
    if found.not_reproducible:
        return "not reproducible: nothing that is recorded of the two differs but what came out"
    if not found.causes:
        return "nothing differs"
    return "" if found.metrics else "no metric differs"


def _next(found: Differences, sides: Sequence[chosen.Chosen]) -> str:
    a, b = (side.trial.id for side in sides)
    if found.not_reproducible:
        return f"mitosis noise {a}"
    main = next((m for m in found.metrics if m.name == "main"), None)
    unshared = not found.causes or not found.metrics or (main is not None and not _finite(main.absolute))
    if unshared or not all(side.single for side in sides):  # there is no change that could be shared out
        return f"mitosis show {b}"
    return f"mitosis why {a} {b}"


def _block(title: str, changes: Sequence[Change], short: bool = False) -> Iterator[str]:
    if changes:
        yield from ("", title)
        yield from _rows(changes, short)


def _rows(changes: Sequence[Change], short: bool = False) -> Iterator[str]:
    """A line for each change: name, old, new."""
    names = [text.safe(c.name) for c in changes]
    wide = max(map(tables.width, names), default=0)
    for name, change in zip(names, changes, strict=True):
        digests = telling.shortest([*change.a, *change.b]) if short else None
        old, new = (_values(side, digests) for side in (change.a, change.b))
        yield f"  {name}{' ' * (wide - tables.width(name))}  {old} -> {new}"


def _values(values: Sequence[Any], digests: Mapping[str, str] | None) -> str:
    if not values:
        return "(absent)"
    shown = [_shown(v) if digests is None else digests[v] for v in values[:5]]
    more = f" and {len(values) - 5} more" if len(values) > 5 else ""
    return ", ".join(shown) + more


def _shown(value: Any) -> str:
    """A value as it is written in YAML: what cannot be taken for anything else is bare."""
    return text.safe(value if isinstance(value, str) and " " in value else identity.shown(value))


def _files(files: Sequence[Change]) -> Iterator[str]:
    for change in files:
        what = "changed" if change.a and change.b else f"only {'a' if change.a else 'b'} loads it"
        yield f"  {text.safe(change.name)}  {what}"


def _metrics(metrics: Sequence[Metric]) -> tuple[list[str], list[list[str]], tuple[str, ...]]:
    columns = ["", "a", "b", "b - a", "relative"]
    rows = [
        [
            text.safe(m.name),
            text.number(m.a),
            text.number(m.b),
            f"{m.absolute:+.6g}" if _finite(m.absolute) else "-",
            f"{100 * m.relative:+.3g} %" if _finite(m.relative) else "-",
        ]
        for m in metrics
    ]
    return columns, rows, tuple(columns[1:])


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def document(found: Differences, sides: Sequence[chosen.Chosen], told: _Code) -> dict[str, JSON]:
    """The answer as JSON, see docs/reference/json.md."""
    code = {
        "commits": {"a": list(found.commits[0]), "b": list(found.commits[1])},
        "apart": str(told.apart) if told.apart is not None else None,
        "known": found.code_known,
        "files": _items(found.files),
        "unseen": sorted((*found.unseen_code, *found.unseen_data)),
        "entry_point": _items(found.entry_point),
        "lookups": _items(found.lookups),
        "patch": told.patch,
    }
    return {
        "a": [t.id for t in sides[0].trials],
        "b": [t.id for t in sides[1].trials],
        "causes": list(found.causes),
        "params": _items(found.params),
        "variants": _items(found.variants),
        "code": code,
        "inputs": _items(found.inputs),
        "seed": _items(found.seed),
        "environment": _items(found.environment),
        "metrics": [
            {"name": m.name, "a": m.a, "b": m.b, "absolute": m.absolute, "relative": m.relative}
            for m in found.metrics
        ],
        "not_reproducible": found.not_reproducible,
    }


def _frame(found: Differences) -> Frame:
    """A row for each thing that differs, under the names of the JSON; several values are a JSON list."""
    kinds = {
        "params": found.params,
        "variants": found.variants,
        "files": found.files,
        "entry_point": found.entry_point,
        "lookups": found.lookups,
        "inputs": found.inputs,
        "seed": found.seed,
        "environment": found.environment,
    }
    rows: list[tuple[JSON, ...]] = [
        (kind, change.name, _cell(change.a), _cell(change.b), None, None)
        for kind, changes in kinds.items()
        for change in changes
    ]
    if found.commits[0] != found.commits[1]:
        rows.append(("code", "commit", *map(_cell, found.commits), None, None))
    unseen = (("code", found.unseen_code), ("inputs", found.unseen_data))
    rows += [
        (kind, path, None, "one of the commits alone has it", None, None)
        for kind, paths in unseen
        for path in paths
    ]
    rows += [("metrics", m.name, m.a, m.b, m.absolute, m.relative) for m in found.metrics]
    if found.statuses[0] != found.statuses[1]:
        rows.append(("outcome", "status", *map(_cell, found.statuses), None, None))
    if found.results[0] != found.results[1]:
        rows.append(("outcome", "result.pkl", *map(_cell, found.results), None, None))
    return Frame(("kind", "name", "a", "b", "absolute", "relative"), tuple(rows))


def _cell(values: Sequence[JSON]) -> JSON:
    return None if not values else values[0] if len(values) == 1 else list(values)


def _items(changes: Sequence[Change]) -> list[JSON]:
    return [{"name": c.name, "a": list(c.a), "b": list(c.b)} for c in changes]
