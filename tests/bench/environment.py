"""Row: what the environment costs a trial after the first of a process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mitosis.capture import environment
from tests.bench.measure import Cost, Row, Sides, timed
from tests.bench.place import Place

SECONDS = 0.050


@contextlib.contextmanager
def _again(_place: Place) -> Iterator[Sides]:
    environment.collect()  # the first of the process
    yield Sides(
        ours=lambda: timed(lambda: environment.digest(environment.collect())), theirs=lambda: Cost(SECONDS)
    )


ROWS = (Row("environment", "the environment, collected and digested again", "50 ms", 1.0, _again, pairs=25),)
