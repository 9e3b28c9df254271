"""Writes the SQLite file of today's schema, once, when that schema is released.

Run as `python -m tests.schemas.make`. The files of past schemas are never made again: the tests
upgrade each of them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mitosis.store import Store
from mitosis.store.schema import VERSIONS
from mitosis.trial import Status
from tests.store_values import ENVIRONMENT, HOSTILE, trial_outcome, trial_spec, variant


def main() -> None:
    """Fill a new store with trials of every kind."""
    path = Path(__file__).parent / f"{VERSIONS[-1]}.db"
    if path.exists():
        raise SystemExit(f"{path} is there already: the past is not written again")
    with Store.open(path) as store:
        store.begin_sweep(
            "5eed00000000", "https://example.org/lab.git", "mitosis -m", 2, "2024-05-01T12:00:00Z"
        )
        for job, outcome in enumerate([trial_outcome(), trial_outcome(status=Status.FAILED, main=None)]):
            spec = trial_spec(job, sweep="5eed00000000", job=job, seed=job)
            store.start(spec, ENVIRONMENT)
            store.finish(spec.id, outcome)
        second = dataclasses.replace(
            trial_spec(2), variants=(variant(dt=0.5),), params='{"x":1}', note=HOSTILE
        )
        store.start(second, ENVIRONMENT, ["params/fast"])
        store.digests().put((1, 2, 3, 4, 5), "d" * 64)
    path.with_name(f"{path.name}.lock").unlink()


if __name__ == "__main__":
    main()
