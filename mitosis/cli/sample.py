"""The trials that a statistic or a picture is about: the options that choose them, and who may be mixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mitosis import differences
from mitosis.cli.select import filters, warn
from mitosis.cli.select import query as question
from mitosis.groups import Inputs, Selection, select, tells_codes_apart
from mitosis.trial import Summary

if TYPE_CHECKING:
    from mitosis.store import Query
    from mitosis.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])

_WORDS = {
    "removed": "removed",
    "other_code": "of other code (--mix-code mixes them in)",
    "other_data": "of other data (--mix-data mixes them in)",
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
    """The options that choose trials for a statistic; without `--experiment`, that of the latest trial."""
    for decorate in (
        click.option("--tainted", is_flag=True, help="Count trials whose record is not proven as well."),
        click.option("--mix-code", is_flag=True, help="Mix trials of different code."),
        click.option("--mix-data", is_flag=True, help="Mix trials that read different data."),
        filters,
    ):
        command = decorate(command)
    return command


def names(given: Sequence[str]) -> tuple[str, ...]:
    """The names of an option that takes several: by commas, and each time that it is given."""
    return tuple(dict.fromkeys(name.strip() for words in given for name in words.split(",") if name.strip()))


def choose(store: Store | None, wanted: Mapping[str, Any], by: tuple[str, ...]) -> Sample | None:
    """The trials that `options` ask for, grouped by `by` later; None where there is none."""
    if store is None:
        return None
    query = replace(question(wanted), removed=True)
    warn(store, query)
    if query.experiment is None:
        latest = store.find(replace(query, limit=1))
        if not latest:
            return None
        query = replace(query, experiment=latest[0].experiment)
    trials = store.find(query)
    if not trials:
        return None
    mix = bool(wanted["mix_code"]) or tells_codes_apart(by)
    found = select(
        trials,
        lambda trial: files(store, trial),
        Inputs(store.reads(query), lambda trial: _inputs(store, trial)),
        mix_code=mix,
        mix_data=bool(wanted["mix_data"]),
        tainted=bool(wanted["tainted"]),
    )
    return Sample(str(query.experiment), found, _others(store, query) if wanted["experiment"] is None else ())


def files(store: Store, trial: Summary) -> dict[str, str]:
    """Path and blob of each of the repository's own files that the trial loaded."""
    outcome = store.get(trial.id).outcome
    return {m.path: m.blob for m in outcome.modules if not m.path.startswith("/")} if outcome else {}


def _inputs(store: Store, trial: Summary) -> dict[str, str]:
    """Path and digest of each file that the trial read, declared or not."""
    return {path: record.digest for path, record in differences.read(store.get(trial.id)).items()}


def left_out(selection: Selection, without: tuple[Summary, ...] = ()) -> dict[str, int]:
    """How many trials each reason keeps out; `without` are those without a number."""
    counts = {reason: len(trials) for reason, trials in selection.left_out.items()}
    return {**counts, **({"not_a_number": len(without)} if without else {})}


def told(counts: Mapping[str, int], counted: int, newest: Summary | None = None) -> str:
    """The line below every statistic: how many trials count, and why the others do not.

    `newest` of those that count says of which commit they are, where others are left out for their code.
    """
    total = counted + sum(counts.values())
    if counted == total:
        return f"all {total} trials count" if total != 1 else "the one trial counts"
    reasons = ", ".join(f"{n} {_WORDS.get(reason, reason)}" for reason, n in counts.items())
    of = f" (the code of commit {newest.commit[:7]})" if newest and "other_code" in counts else ""
    return f"{counted} of {total} trials count{of}; left out: {reasons}"


def _others(store: Store, query: Query) -> tuple[str, ...]:
    """Another experiment that the same options would choose; one is enough to say so."""
    latest = {t.experiment for t in store.find(replace(query, experiment=None, limit=200))}
    return tuple(sorted(latest - {query.experiment}))
