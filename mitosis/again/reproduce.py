"""Runs a recorded recipe again in today's environment, and says whether the same came out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mitosis import attesting, differences, launch
from mitosis.again import likeness, noise, recorded
from mitosis.again.likeness import Difference, Likeness, Tolerance
from mitosis.again.recorded import Bench, Impossible, Recorded
from mitosis.capture import checkout, environment
from mitosis.differences import Change
from mitosis.display import Display
from mitosis.trial import JSON, Attestation, Remark, Status, Trial, plain

if TYPE_CHECKING:
    from mitosis.store.store import Store

KIND = "reproduce"  # of the attestation
WITHIN_NOISE = "within noise"
IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What became of a reproduction."""

    verdict: str  # identical, equal within tolerance, within noise, different, impossible
    trial: Trial | None  # the new one; None: nothing ran
    differences: tuple[Difference, ...]
    environment: tuple[Change, ...]  # from the recorded one to today's
    reason: str = ""  # of `impossible`
    note: Remark | None = None  # where the attestation could not be kept beside the trial
    not_compared: tuple[str, ...] = ()  # "result": it was not kept


def reproduce(
    store: Store, bench: Bench, trial: Trial, tolerance: Tolerance, display: Display
) -> Reproduction:
    """Run the recipe of `trial` again, compare what came out, and attest it on `trial`.

    Raises Refused where the launcher itself cannot work.
    """
    changes = changed_environment(store, trial)
    try:
        recipe = recorded.recorded(trial)
        why = f"reproduces {trial.id}"
        new = recorded.run(bench, recipe, display, why, KIND)
        stray = strays(new, recipe)
        if stray:
            raise recorded.gone(stray[0])
    except Impossible as error:
        found = Reproduction(IMPOSSIBLE, None, (), changes, str(error))
    else:
        found = _judged(store, bench, trial, new, tolerance, changes)
    if found.trial is not None and found.trial.status is Status.INTERRUPTED:
        return found  # it says nothing about the trial
    return replace(found, note=_attest(store, trial, found))


def strays(new: Trial, recipe: Recorded) -> list[str]:
    """Inputs that the new trial read with other bytes than the recipe says: it has them from elsewhere."""
    wanted = {r.path: r.digest for r in recipe.inputs}
    found = (*new.spec.inputs, *(new.outcome.inputs if new.outcome else ()))
    own = {o.path for o in (new.outcome.outputs if new.outcome else ())}  # it wrote there itself
    return [r.path for r in found if r.path in wanted.keys() - own and wanted[r.path] != r.digest]


def changed_environment(store: Store, trial: Trial) -> tuple[Change, ...]:
    """What differs between the environment of a trial and that of today."""
    then = store.environment(trial.spec.environment)
    now = environment.collect()
    digest = environment.digest(now)
    if digest == trial.spec.environment:
        return ()
    if then is None:
        return (Change("environment", (trial.spec.environment,), (digest,)),)
    old, new = differences.facts(then), differences.facts(now)
    names = sorted(n for n in {*old, *new} if old.get(n) != new.get(n))
    return tuple(Change(n, (old[n],) if n in old else (), (new[n],) if n in new else ()) for n in names)


def _judged(
    store: Store, bench: Bench, trial: Trial, new: Trial, tolerance: Tolerance, changes: tuple[Change, ...]
) -> Reproduction:
    commit = new.spec.code.commit
    code = replace(new.spec.code, tree=str(checkout.place(bench.root, commit)))  # its own may be gone
    path = launch.source_roots(code, list(trial.spec.settings.get("source_roots", ())))
    found = likeness.compared(trial, new, tolerance, path)
    old, today = differences.loaded(trial), differences.loaded(new)
    elsewhere = sorted(p for p in old.keys() & today.keys() if p.startswith("/") and old[p] != today[p])
    changes = (*changes, *(Change(f"code of {p}", (old[p][:12],), (today[p][:12],)) for p in elsewhere))
    if trial.outcome and new.outcome and trial.outcome.threads != new.outcome.threads:
        sides = (trial.outcome.threads, new.outcome.threads)
        changes = (*changes, Change("threads", *sides))
    worst = likeness.worst(found)
    verdict = worst.value
    if worst is Likeness.DIFFERENT and _within_noise(store, trial, new, found):
        verdict = WITHIN_NOISE
    unknown = ("result",) if likeness.result_unknown(trial, new) else ()
    return Reproduction(verdict, new, tuple(found), changes, not_compared=unknown)


def _within_noise(store: Store, trial: Trial, new: Trial, found: list[Difference]) -> bool:
    """Does every metric that differs lie where repeats with the same seed have shown it.

    The repeats that count are those of before: the new trial is not its own witness.
    """
    if trial.status is not Status.SUCCEEDED or new.status is not Status.SUCCEEDED:
        return False
    names = [
        d.what.removeprefix("metrics.") for d in found if d.what == "main" or d.what.startswith("metrics.")
    ]
    before = [t for t in noise.alike(store, trial) if t.id != new.id and t.spec.seed == trial.spec.seed]
    before = noise.together(before)
    for name in names or ["main"]:
        shown = noise.of(before, trial.spec.seed, name).repeats
        value = differences.value(new, name)
        if shown is None or not shown.std or not differences.is_number(value):
            return False
        low, high = shown.interval()
        if not low <= value <= high:
            return False
    return True


def _attest(store: Store, trial: Trial, found: Reproduction) -> Remark | None:
    content: dict[str, JSON] = {
        "trial": found.trial.id if found.trial else None,
        "differences": [d.what for d in found.differences],
        "environment": [plain(c) for c in found.environment],
        "reason": found.reason,
        "not_compared": list(found.not_compared),
    }
    host = environment.host_process().host
    return attesting.attest(store, trial, Attestation(KIND, found.verdict, "", host, content))
