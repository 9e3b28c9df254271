"""Measures which cause changed a number: runs the trials between two trials and shares the change out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mitosis import differences, identity
from mitosis.again import hybrids, noise, recorded, shares, unseen
from mitosis.again.hybrids import Hybrid, Pair
from mitosis.again.recorded import Bench, Impossible
from mitosis.capture import environment
from mitosis.display import Display
from mitosis.errors import Refused, RepositoryRefused
from mitosis.trial import Status, Trial

if TYPE_CHECKING:
    from mitosis.store.store import Store

OVERHEAD = 0.5  # seconds that a trial takes besides its call of the experiment


@dataclass(frozen=True, slots=True)
class Floor:
    """What chance makes of the difference of two single trials, in 95 of 100 cases."""

    repeats: int  # values with the same seed that it rests on; below 2: not known
    floor: float | None  # with the same seed; None: not known
    chance: float | None  # with different seeds; None: not known
    silent: tuple[str, ...] = ()  # which side gave no second value, and why

    def hides(self, size: float) -> bool:
        """Is a difference so small that repeats alone make it."""
        return self.floor is not None and self.floor > 0 and abs(size) <= self.floor


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be run: the hybrids, the repeats, and about how long that takes."""

    hybrids: tuple[frozenset[str], ...]  # those that no recorded trial stands for
    standing: tuple[Hybrid, ...]  # those that are there already
    repeats: int  # trials for the noise
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Why the number changed."""

    metric: str
    values: tuple[float, float]  # as they were recorded
    causes: tuple[str, ...]
    shares: Mapping[str, float | None]  # of the change, by cause; `environment`: what is left over
    parts: Mapping[str, float | None]  # of the change, by group of code: "code:pkg"
    exact: bool
    orders: tuple[int, int]
    interaction: float | None  # of the change: what one at a time does not add up to
    floor: Floor
    trials: tuple[Hybrid, ...]

    @property
    def change(self) -> float:
        """b - a, as they were recorded."""
        return self.values[1] - self.values[0]

    def within_noise(self, cause: str) -> bool:
        """Is the share of a cause one that chance alone makes."""
        share = self.shares.get(cause, self.parts.get(cause))
        return share is not None and self.floor.hides(share * self.change)


def pair(store: Store, bench: Bench, a: Trial, b: Trial, by: str) -> Pair:
    """The two trials as a pair, its code split. Raises Refused where they cannot be compared."""
    if a.id == b.id:
        raise Refused(f"both are trial {a.id}: there is no change", "name two trials: mitosis ls")
    for trial in (a, b):
        if trial.status is not Status.SUCCEEDED:
            raise Refused(
                f"trial {trial.id} did not succeed: it has no number to explain",
                f"see why: mitosis show {trial.id}",
            )
    if a.spec.code.project != b.spec.code.project:
        raise Refused("the two trials are of different projects", "choose two of one: mitosis ls")
    found = differences.between(a, b, recorded.environments(store, a, b))
    with contextlib.suppress(RepositoryRefused):  # a commit is gone: whatever needs it says so
        found = unseen.added(found, a, b, bench.repository)
    return hybrids.split(bench.repository, Pair(a, b, found), by)


def plan(store: Store, bench: Bench, two: Pair, metric: str, repeats: int) -> Planned:
    """What `explain` would run."""
    numbers(two, metric)
    missing, standing = [], []
    for taken in shares.needed(two.causes) if _must_run(two) else ():
        there = _recorded_end(two, taken) or _there(store, bench, two, taken)
        if there is None:
            missing.append(taken)
        elif there.status is Status.SUCCEEDED:
            standing.append(Hybrid(taken, there, reused=True))
    more = sum(_lacking(store, t, min(repeats, 2)) for t in (two.a, two.b))
    times = [t.outcome.seconds or 0.0 for t in (two.a, two.b) if t.outcome]
    each = sum(times) / max(len(times), 1) + OVERHEAD
    return Planned(tuple(missing), tuple(standing), more, (len(missing) + more) * each)


def explain(store: Store, bench: Bench, two: Pair, metric: str, repeats: int, display: Display) -> Answer:
    """Run what is missing and share the change out. Raises Refused where there is no number to share."""
    values = numbers(two, metric)
    if not math.isfinite(values[1] - values[0]):
        raise Refused(
            f"{metric} goes from {values[0]!r} to {values[1]!r}: no float holds such a change",
            f"see what differs: mitosis diff {two.a.id} {two.b.id}",
        )
    made: dict[frozenset[str], Hybrid] = {}
    needed = shares.needed(two.causes) if _must_run(two) else []
    for taken in needed:
        end = _recorded_end(two, taken)
        made[taken] = Hybrid(taken, end, True) if end else hybrids.made(store, bench, two, taken, display)
        if made[taken].trial is None and taken in (frozenset(), frozenset(two.causes)):
            # it cannot be run again: its recorded number has to do
            made[taken] = replace(made[taken], trial=two.b if taken else two.a, reused=True)
    floor = _floor(store, bench, two, metric, repeats, display)
    if not needed:  # one cause, or none: there is nothing to share
        parts = dict.fromkeys(two.causes[:1], values[1] - values[0])
        told = shares.Shares(parts, True, (1, 1))
    else:
        told = shares.shares(two.causes, lambda taken: _number(made.get(taken), metric))
    return _answer(two, metric, values, told, floor, tuple(made.values()))


def numbers(two: Pair, metric: str) -> tuple[float, float]:
    """The two values of the metric. Raises Refused where one is no finite number."""
    values = []
    for trial in (two.a, two.b):
        value = differences.value(trial, metric)
        if not differences.is_number(value) or not math.isfinite(value):
            what = f"{metric} of trial {trial.id} is {identity.shown(value)}, which is no number"
            raise Refused(f"{what} that has a difference", "choose a metric that both have: --metric NAME")
        values.append(float(value))
    return values[0], values[1]


def _must_run(two: Pair) -> bool:
    """A single cause makes all of the change, unless the environment may have its part in it."""
    return len(two.causes) > 1 or (len(two.causes) == 1 and "environment" in two.found.causes)


def _recorded_end(two: Pair, taken: frozenset[str]) -> Trial | None:
    """a or b itself, where it ran in today's environment, for the hybrid that it is."""
    today = environment.digest(environment.collect())
    ends = {frozenset[str](): two.a, frozenset(two.causes): two.b}
    trial = ends.get(taken)
    return trial if trial is not None and trial.spec.environment == today else None


def _there(store: Store, bench: Bench, two: Pair, taken: frozenset[str]) -> Trial | None:
    try:
        return hybrids.found(store, bench, hybrids.recipe(two, taken))
    except Impossible:
        return None


def _number(hybrid: Hybrid | None, metric: str) -> float | None:
    if hybrid is None or hybrid.trial is None:
        return None
    value = differences.value(hybrid.trial, metric)
    return float(value) if differences.is_number(value) and math.isfinite(value) else None


def _answer(
    two: Pair,
    metric: str,
    values: tuple[float, float],
    told: shares.Shares,
    floor: Floor,
    trials: tuple[Hybrid, ...],
) -> Answer:
    change = values[1] - values[0]

    def share(part: float | None) -> float | None:
        return None if part is None or change == 0 else part / change + 0.0  # no minus zero

    parts = {c: share(p) for c, p in told.parts.items()}
    whole = {c: p for c, p in parts.items() if c not in two.groups}
    if two.groups:
        of_code = [parts[g] for g in two.groups]
        whole["code"] = math.fsum(p for p in of_code if p is not None) if None not in of_code else None
    interaction = share(told.interaction)
    known = [p for p in whole.values() if p is not None]
    complete = len(known) == len(whole) and interaction is not None
    left = 1.0 - math.fsum(known) - (interaction or 0.0) if complete and change else 0.0
    if "environment" in two.found.causes or (trials and abs(left) > 1e-9):
        whole["environment"] = left if complete and change else None
    ordered = {c: whole[c] for c in differences.CAUSES if c in whole}
    groups = {g: parts[g] for g in two.groups}
    return Answer(
        metric, values, two.causes, ordered, groups, told.exact, told.orders, interaction, floor, trials
    )


# -- noise ------------------------------------------------------------------------------------------------


def _lacking(store: Store, trial: Trial, repeats: int) -> int:
    """How many repeats of a trial are missing for so many values in one environment.

    None are where a repeat failed: the next one would.
    """
    known = noise.noise_of(store, trial).repeats
    if known is not None and known.n >= repeats:
        return 0
    today = environment.digest(environment.collect())
    if noise.failed(store, trial, today):
        return 0
    alike = [t for t in noise.alike(store, trial) if t.spec.seed == trial.spec.seed]
    return max(0, repeats - sum(t.spec.environment == today for t in alike))


def _floor(store: Store, bench: Bench, two: Pair, metric: str, repeats: int, display: Display) -> Floor:
    """The noise floor: two values of each side tell whether it varies; where it does, `repeats` of each."""
    found = [noise.noise_of(store, t, metric) for t in (two.a, two.b)]
    reasons = ["", ""]
    for enough in (min(repeats, 2), repeats):
        if enough > 2 and not any(n.repeats and n.repeats.std for n in found):
            break
        for at, trial in enumerate((two.a, two.b)):
            reasons[at] = _repeat(bench, trial, _lacking(store, trial, enough), display) or reasons[at]
            found[at] = noise.noise_of(store, trial, metric)
    repeated = noise.pooled([n.repeats for n in found])
    seeds = noise.pooled([n.seeds for n in found])
    today = environment.digest(environment.collect())
    silent = []
    for mark, trial, known, reason in zip("ab", (two.a, two.b), found, reasons, strict=True):
        if repeats > 1 and (known.repeats is None or reason):
            failed = noise.failed(store, trial, today)
            why = reason or (f"its repeat {failed} failed" if failed else "its repeat is not comparable")
            silent.append(f"{mark} gave no second value: {why}")
    return Floor(
        sum(n.repeats.n for n in found if n.repeats is not None),
        repeated,
        max(seeds, repeated or 0.0) if seeds is not None else None,
        tuple(silent),
    )


def _repeat(bench: Bench, trial: Trial, times: int, display: Display) -> str:
    """Run a trial's recipe again so many times; why not, where it cannot be, else ''."""
    for _ in range(times):
        try:
            new = recorded.run(bench, recorded.recorded(trial), display, noise.repeat_note(trial), "why")
        except Refused as error:
            return error.what
        if new.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        if new.status is not Status.SUCCEEDED:
            return f"its repeat {new.id} {new.status.value}"
    return ""
