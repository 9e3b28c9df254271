"""Row: what a launcher holds after many trials of one sweep."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Cost, Row, Sides, Skip
from tests.bench.place import Place, mitosis

EVERY = 0.02  # seconds between two looks


def _peak(pid: int) -> int | None:
    """The most memory that the process held, in bytes: VmHWM of proc_pid_status(5); None when it is over."""
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def peaks(command: list[str], repository: Path, env: dict[str, str], early: int) -> tuple[int, int]:
    """The peak after `early` trials of a sweep and the peak at its end, of one launcher."""
    trials = repository / "trials" / "noop"
    before = sum(1 for _ in trials.iterdir()) if trials.exists() else 0
    with (repository / ".git" / "sweep.log").open("w+") as log:
        launcher = subprocess.Popen(
            command, cwd=repository, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        at_early = last = 0
        while (peak := _peak(launcher.pid)) is not None:
            last = peak
            if not at_early and trials.exists() and sum(1 for _ in trials.iterdir()) - before > early:
                at_early = peak  # the next one has begun: so many are over
            time.sleep(EVERY)
        launcher.wait()
        log.seek(0)
        if launcher.returncode != 0 or not at_early:
            raise Skip(f"the sweep ended with {launcher.returncode}: {log.read()[-2000:]}")
    return at_early, last


@contextlib.contextmanager
def _sweep(place: Place) -> Iterator[Sides]:
    repository, env = place.repository("memory"), place.environ()
    many, few = place.size(500, 6), place.size(50, 2)
    command = mitosis("-m", "experiment=noop", "seed=" + ",".join(map(str, range(many))))
    found: list[tuple[int, int]] = []  # one sweep gives both sides of a pair

    def side(index: int) -> Cost:
        if not found:
            found.append(peaks(command, repository, env, few))
            return Cost(found[0][index])
        return Cost(found.pop()[index])

    yield Sides(ours=lambda: side(1), theirs=lambda: side(0))


ROWS = (
    Row(
        "memory",
        "launcher's peak memory after 500 trials of one sweep",
        "the same launcher after 50",
        1.1,
        _sweep,
        unit="B",
        warm=False,
    ),
)
