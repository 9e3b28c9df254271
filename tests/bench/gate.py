"""Row: the gate in a large repository."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from mitosis import gate
from mitosis.settings import Settings
from tests.bench.measure import Row, Sides, process, timed
from tests.bench.place import Place

LONG_AGO = 1_600_000_000  # seconds; git reads a file again that is as young as its index
PER_DIRECTORY = 100


@contextlib.contextmanager
def _large(place: Place) -> Iterator[Sides]:
    top = place.repository("large")
    if not (top / "data").exists():
        for number in range(place.size(50_000, 500)):
            file = top / "data" / f"{number // PER_DIRECTORY:03}" / f"{number:05}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number}\n" * (number % 50))
            os.utime(file, (LONG_AGO, LONG_AGO))
        place.git(top, "add", "--all")
        place.git(top, "commit", "--quiet", "--message", "data")
        place.git(top, "status")
    status = ["git", "status", "--porcelain", "-uall"]
    yield Sides(
        ours=lambda: timed(lambda: gate.check(top, Settings())),
        theirs=lambda: process(status, top, place.environ()),
    )


ROWS = (
    Row(
        "gate",
        "the gate in a repository of 50,000 files",
        "`git status --porcelain -uall`",
        1.3,
        _large,
        pairs=9,
    ),
)
