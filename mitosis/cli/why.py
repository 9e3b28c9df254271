"""`mitosis why`: which cause made a number change, measured by running what lies between two trials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitosis.cli import answers, bench, export, locate, tables, text
from mitosis.errors import SelectionRefused
from mitosis.frame import Frame
from mitosis.trial import Trial

if TYPE_CHECKING:
    from mitosis.again.hybrids import Hybrid, Pair
    from mitosis.again.why import Answer, Planned


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--metric", default="main", show_default=True, help="The metric whose change is explained.")
@click.option(
    "--by",
    type=click.Choice(["auto", "none", "package", "file"]),
    default="auto",
    show_default=True,
    help="Split the code into causes; auto: by package, where at most four causes come of it.",
)
@click.option(
    "--repeats",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Values of each side for the noise; two where they are the same.",
)
@click.option("--plan", is_flag=True, help="Say what would be run and how long it takes; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@tables.export_options("a line for each cause and its share")
@locate.store_option
def command(
    a: str, b: str, metric: str, by: str, repeats: int, plan: bool, as_json: bool, as_csv: bool,
    parquet: Path | None, url: str | None,
) -> int:  # fmt: skip
    """Explain the change from trial A to trial B: run A with B's code, with B's parameters, and so on."""
    tables.one_form(as_json, as_csv, parquet)
    if plan and (as_csv or parquet):
        raise SelectionRefused("a plan is no table", "leave --plan out, or take it as --json")
    from mitosis.again import why
    from mitosis.notebook import forking

    with locate.required(url, a) as store:
        project = locate.scope(url)
        old, new = store.get(a, project), store.get(b, project)
        place = bench.opened(store, new, url)
        two = why.pair(store, place, old, new, by)
        planned = why.plan(store, place, two, metric, repeats)
        if plan:
            if as_json:
                answers.emit(_plan_document(two, planned))
            else:
                print("\n".join(_plan(two, planned)))
                tables.hint(f"mitosis why {old.id} {new.id}", after=", which runs them")
            return 0
        if planned.hybrids or planned.repeats:
            forking.prestart(place.repository)
        found = why.explain(store, place, two, metric, repeats, bench.Steps())
    if as_json:
        answers.emit(_document(two, found))
    elif as_csv or parquet:
        export.write(_frame(found), parquet)
    else:
        print("\n".join(_lines(two, found)))
        tables.hint(_next(two, found))
    return 0


def _named(taken: frozenset[str], two: Pair) -> str:
    """A hybrid in words."""
    if not taken:
        return "a again"
    if taken == frozenset(two.causes):
        return "b again"
    return f"a with {' and '.join(c for c in two.causes if c in taken)} of b"


def _plan(two: Pair, planned: Planned) -> Iterator[str]:
    yield f"causes: {', '.join(two.found.causes) or 'none differs'}"
    for hybrid in planned.standing:
        if hybrid.trial is not None:
            yield f"  {hybrid.trial.id}  stands for {_named(hybrid.taken, two)}"
    for taken in planned.hybrids:
        yield f"  to run   {_named(taken, two)}"
    if planned.repeats:
        yield f"  to run   {planned.repeats} repeats for the noise, more where they vary"
    total = len(planned.hybrids) + planned.repeats
    yield f"{total} trials to run, about {text.seconds(planned.seconds)}"


def _plan_document(two: Pair, planned: Planned) -> dict[str, object]:
    return {
        "causes": list(two.found.causes),
        "run": [sorted(t) for t in planned.hybrids],
        "standing": [
            {"taken": sorted(h.taken), "trial": h.trial.id} for h in planned.standing if h.trial is not None
        ],
        "repeats": planned.repeats,
        "seconds": planned.seconds,
    }


def _lines(two: Pair, found: Answer) -> Iterator[str]:
    for mark, trial, value in (("a", two.a, found.values[0]), ("b", two.b, found.values[1])):
        yield f"{mark}  {_trial(trial)}  {text.safe(found.metric)}={text.number(value)}"
    yield f"{text.safe(found.metric)} changed by {found.change:+.6g}"
    yield ""
    if found.change == 0:
        yield "there is no change to share out"
    elif not found.shares:
        yield "nothing that is recorded of the two differs: not reproducible"
    else:
        yield from tables.plain(["cause", "share", "makes", ""], list(_rows(found)), right=("share", "makes"))
    yield from ("", *_manner(found))
    yield _noise(found)
    for hybrid in found.trials:
        if hybrid.reason:
            yield f"could not run {_named(hybrid.taken, two)}: {text.safe(hybrid.reason)}"


def _trial(trial: Trial) -> str:
    return text.safe(f"{trial.id} {trial.spec.experiment} {trial.spec.variant} seed={trial.spec.seed}")


def _rows(found: Answer) -> Iterator[list[str]]:
    for cause, share in found.shares.items():
        yield _row(found, cause, cause, share)
        if cause == "code":
            for group, part in found.parts.items():
                yield _row(found, group, f"  {group.removeprefix('code:')}", part)
    if found.interaction and not found.exact:
        yield ["interaction", f"{100 * found.interaction:.1f} %",
               f"{found.interaction * found.change:+.6g}", ""]  # fmt: skip


def _row(found: Answer, cause: str, name: str, share: float | None) -> list[str]:
    if share is None:
        return [text.safe(name), "?", "?", "cannot be told"]
    remark = "within noise" if found.within_noise(cause) else ""
    return [text.safe(name), f"{100 * share + 0.0:.1f} %", f"{share * found.change + 0.0:+.6g}", remark]


def _manner(found: Answer) -> Iterator[str]:
    """How it was measured."""
    ran = sum(1 for h in found.trials if h.trial is not None and not h.reused)
    there = sum(1 for h in found.trials if h.trial is not None and h.reused)
    if not found.trials:
        if len(found.causes) == 1:
            yield f"{found.causes[0]} alone differs, so that the whole change is its own"
        return
    how = "Shapley values" if found.exact else "one cause at a time, forward and backward"
    used, of = found.orders
    some = f" over {used} of {of} orders, the others cannot run" if found.exact and used < of else ""
    failed = sum(1 for h in found.trials if h.trial is None and not h.reused)
    yield f"{how}{some}; {ran} trials run, {f'{failed} more failed, ' if failed else ''}{there} there before"


def _noise(found: Answer) -> str:
    floor = found.floor
    if floor.floor is None:
        line = "noise: not measured"
    elif floor.floor == 0:
        none = "none" if not floor.silent else "none known"
        line = f"noise: {none}, {floor.repeats} repeats gave the same numbers"
    else:
        line = f"noise: by chance alone two trials differ by up to {text.number(floor.floor)}"
        if floor.hides(found.change):
            line += ": the change is within noise"
    if floor.chance is not None and floor.chance > (floor.floor or 0.0):
        line += f"; with other seeds by up to {text.number(floor.chance)} (95 %)"
        if abs(found.change) <= floor.chance:
            line += ": another seed alone can make such a change"
    return "; ".join((line, *map(text.safe, floor.silent)))


def _next(two: Pair, found: Answer) -> str:
    a, b = two.a.id, two.b.id
    known = {c: abs(s) for c, s in found.shares.items() if s is not None and not found.within_noise(c)}
    if known and max(known, key=lambda c: known[c]) == "code":
        return f"mitosis bisect {a} {b}"
    return f"mitosis diff {a} {b}"


def _document(two: Pair, found: Answer) -> dict[str, object]:
    return {
        "a": two.a.id,
        "b": two.b.id,
        "metric": found.metric,
        "change": found.change,
        "shares": dict(found.shares),
        "parts": dict(found.parts),
        "exact": found.exact,
        "orders": list(found.orders),
        "interaction": found.interaction,
        "noise": {
            "floor": found.floor.floor,
            "chance": found.floor.chance,
            "repeats": found.floor.repeats,
            "silent": list(found.floor.silent),
            "change_within": found.floor.hides(found.change),
            "within": [c for c in (*found.shares, *found.parts) if found.within_noise(c)],
        },
        "trials": [_hybrid(h) for h in found.trials],
    }


def _frame(found: Answer) -> Frame:
    """A row for each cause, and for each part of the code; a share that cannot be told is empty."""
    shares = {**found.shares, **found.parts}
    rows = (
        (
            found.metric,
            cause,
            share,
            None if share is None else share * found.change,
            found.within_noise(cause),
        )
        for cause, share in shares.items()
    )
    return Frame(("metric", "cause", "share", "makes", "within_noise"), tuple(rows))


def _hybrid(hybrid: Hybrid) -> dict[str, object]:
    return {
        "taken": sorted(hybrid.taken),
        "trial": hybrid.trial.id if hybrid.trial is not None else None,
        "reused": hybrid.reused,
        "reason": hybrid.reason,
    }
