"""The trials that a statistic or a picture is about: the options that choose them, and who may be mixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mitosis.cli import locate
from mitosis.cli.ls import moment
from mitosis.groups import Selection, select, tells_codes_apart
from mitosis.trial import Summary

if TYPE_CHECKING:
    from mitosis.store import Query
    from mitosis.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])

_WORDS = {
    "removed": "removed",
    "other_code": "of other code (--mix-code mixes them in)",
    "repeated": "the same parameters and seed again",
    "tainted": "tainted (--tainted counts them)",
    "not_a_number": "without such a number",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """The trials of one experiment that may be mixed, and the experiments that were passed over."""

    experiment: str
    selection: Selection
    others: tuple[str, ...]


def options(command: F) -> F:
    """The options that choose trials for a statistic."""
    for decorate in (
        click.option(
            "--experiment", metavar="NAME", help="Of this experiment; default: that of the latest trial."
        ),
        click.option("--variant", metavar="LABEL", help="Only of this variant, as `ls` shows it."),
        click.option("--commit", metavar="HASH", help="Only of this commit (a prefix is enough)."),
        click.option("--sweep", metavar="ID", help="Only of this sweep (a prefix is enough)."),
        click.option("--since", metavar="DATE", help="Only started at or after: 2026-01-31, 3h, 2d."),
        click.option("--until", metavar="DATE", help="Only started before."),
        click.option("--all-projects", is_flag=True, help="Of every project in the store."),
        click.option("--mix-code", is_flag=True, help="Mix trials of different code."),
        click.option("--tainted", is_flag=True, help="Count trials whose record is not proven as well."),
    ):
        command = decorate(command)
    return command


def choose(store: Store | None, wanted: Mapping[str, Any], by: tuple[str, ...]) -> Sample | None:
    """The trials that `options` ask for, grouped by `by` later; None where there is none."""
    if store is None:
        return None
    query = _query(wanted)
    if query.experiment is None:
        latest = store.find(replace(query, limit=1))
        if not latest:
            return None
        query = replace(query, experiment=latest[0].experiment)
    trials = store.find(query)
    if not trials:
        return None
    mix = bool(wanted["mix_code"]) or tells_codes_apart(by)
    found = select(trials, lambda t: files(store, t), mix_code=mix, tainted=bool(wanted["tainted"]))
    return Sample(str(query.experiment), found, _others(store, query) if wanted["experiment"] is None else ())


def files(store: Store, trial: Summary) -> dict[str, str]:
    """Path and blob of each of the repository's own files that the trial loaded."""
    outcome = store.get(trial.id).outcome
    return {m.path: m.blob for m in outcome.modules if not m.path.startswith("/")} if outcome else {}


def left_out(selection: Selection, without: tuple[Summary, ...] = ()) -> dict[str, int]:
    """How many trials each reason keeps out; `without` are those without a number."""
    counts = {reason: len(trials) for reason, trials in selection.left_out.items()}
    return {**counts, **({"not_a_number": len(without)} if without else {})}


def told(counts: Mapping[str, int], counted: int) -> str:
    """The line below every statistic: how many trials count, and why the others do not."""
    total = counted + sum(counts.values())
    if counted == total:
        return f"all {total} trials count" if total != 1 else "the one trial counts"
    reasons = ", ".join(f"{n} {_WORDS.get(reason, reason)}" for reason, n in counts.items())
    return f"{counted} of {total} trials count; left out: {reasons}"


def _others(store: Store, query: Query) -> tuple[str, ...]:
    """Another experiment that the same options would choose; one is enough to say so."""
    latest = {t.experiment for t in store.find(replace(query, experiment=None, limit=200))}
    return tuple(sorted(latest - {query.experiment}))


def _query(wanted: Mapping[str, Any]) -> Query:
    from mitosis.store import Query

    return Query(
        project=None if wanted["all_projects"] else locate.project(),
        experiment=wanted["experiment"],
        variant=wanted["variant"],
        commit=wanted["commit"],
        sweep=wanted["sweep"],
        since=moment(wanted["since"]),
        until=moment(wanted["until"]),
        removed=True,
    )
