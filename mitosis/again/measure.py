"""Measures the noise of a recipe: runs the repeats and seeds that are missing, and attests what they show."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitosis import attesting
from mitosis.again import noise, recorded
from mitosis.again.noise import Noise
from mitosis.again.recorded import Bench
from mitosis.capture import environment
from mitosis.display import Display
from mitosis.trial import Attestation, Remark, Status, Trial

if TYPE_CHECKING:
    from mitosis.store.store import Store

_TRIES = 3  # seeds that fail before the next ones are given up


@dataclass(frozen=True, slots=True)
class Measured:
    """The noise that was measured, and which trials were run for it."""

    noise: Noise
    ran: tuple[Trial, ...]
    failed: bool = False  # none of those that were run succeeded: nothing is attested
    note: Remark | None = None  # where the attestation could not be kept beside the trial


def missing(store: Store, trial: Trial, repeats: int, seeds: int) -> list[int]:
    """The seeds, repeats of the trial's own first, whose trials have to be run for that many values of each.

    Trials of the recipe that ran in today's environment count, whoever started them.
    """
    today = environment.digest(environment.collect())
    there = [t.spec.seed for t in noise.alike(store, trial) if t.spec.environment == today]
    own = trial.spec.seed
    wanted = [own] * max(0, max(repeats, min(seeds, 1)) - there.count(own))
    known = {*there, own}
    fresh = (seed for seed in itertools.count(own + 1) if seed not in known)
    return [*wanted, *itertools.islice(fresh, max(0, seeds - len(known)))]


def measure(
    store: Store, bench: Bench, trial: Trial, seeds: list[int], metric: str, display: Callable[[], Display]
) -> Measured:
    """Run the recipe of `trial` with each of `seeds`, then attest its noise on it.

    Raises Impossible where it cannot be run again.
    """
    recipe = recorded.recorded(trial)
    ran: list[Trial] = []
    for seed in seeds:
        new = recorded.run(
            bench,
            recorded.with_seed(recipe, seed),
            display(),
            f"noise of {trial.id}, seed {seed}",
            noise.KIND,
        )
        ran.append(new)
        if new.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        tries = _TRIES if trial.status is Status.SUCCEEDED else 1
        if len(ran) >= tries and all(t.status is not Status.SUCCEEDED for t in ran):
            break
    if ran and all(t.status is not Status.SUCCEEDED for t in ran):
        return Measured(noise.noise_of(store, trial, metric), tuple(ran), failed=True)
    found = noise.noise_of(store, trial, metric)
    verdict = "not measured"
    if found.repeats is not None:
        verdict = "varies" if found.repeats.std else "deterministic"
    host = environment.host_process().host
    made = Attestation(noise.KIND, verdict, "", host, noise.document(found))
    return Measured(found, tuple(ran), note=attesting.attest(store, trial, made))
