"""What a row of the benchmark is, how its two sides are measured in turn, and what comes out of it."""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.place import Place


class Skip(Exception):
    """A row that cannot be measured here; the message is the reason."""


@dataclass(frozen=True)
class Cost:
    """One measurement: its value in the unit of the row, and the CPU time in seconds where it is known."""

    value: float
    cpu: float | None = None


@dataclass(frozen=True)
class Sides:
    """The two things that a row compares; each call is one measurement."""

    ours: Callable[[], Cost]
    theirs: Callable[[], Cost]


@dataclass(frozen=True)
class Row:
    """One line of the table: what is measured against what, and which ratio is the goal."""

    name: str  # for `--only`
    what: str
    against: str
    goal: float
    prepare: Callable[[Place], AbstractContextManager[Sides]]
    accepted: float | None = None  # a larger ratio that is accepted with a profile
    unit: str = "s"  # s, B
    pairs: int = 5  # at least
    warm: bool = True  # measure each side once more, before, for nothing


@dataclass(frozen=True)
class Pair:
    """Both sides, measured one right after the other."""

    ours: Cost
    theirs: Cost

    @property
    def ratio(self) -> float:
        """Ours in terms of theirs."""
        return self.ours.value / self.theirs.value

    @property
    def cpu_ratio(self) -> float | None:
        """The same of the CPU times; None where they are not known of both."""
        return self.ours.cpu / self.theirs.cpu if self.ours.cpu is not None and self.theirs.cpu else None


@dataclass(frozen=True)
class Result:
    """The pairs of a row; the ratio is the median of the pairs' ratios, so that drift cancels out."""

    row: Row
    pairs: tuple[Pair, ...]

    @property
    def ratio(self) -> float:
        """The median of the ratios of the pairs."""
        return statistics.median(p.ratio for p in self.pairs)

    @property
    def span(self) -> tuple[float, float]:
        """The least and the greatest ratio of a pair."""
        ratios = [p.ratio for p in self.pairs]
        return min(ratios), max(ratios)

    @property
    def cpu_ratio(self) -> float | None:
        """The median of the ratios of the CPU times."""
        return _median(p.cpu_ratio for p in self.pairs)

    @property
    def met(self) -> bool:
        """Is the goal, or the ratio that is accepted instead, reached.

        Not where a difference between a long and a short run drowned in noise, and came out below zero.
        """
        positive = all(cost.value > 0 for pair in self.pairs for cost in (pair.ours, pair.theirs))
        return positive and self.ratio <= (self.row.accepted or self.row.goal)

    def document(self) -> dict[str, object]:
        """The result as JSON; what a measurement cost is `{value, cpu}`."""
        return {
            "name": self.row.name,
            "what": self.row.what,
            "against": self.row.against,
            "goal": self.row.goal,
            "accepted": self.row.accepted,
            "unit": self.row.unit,
            "ratio": self.ratio,
            "min": self.span[0],
            "max": self.span[1],
            "cpu_ratio": self.cpu_ratio,
            "met": self.met,
            "ours": statistics.median(p.ours.value for p in self.pairs),
            "theirs": statistics.median(p.theirs.value for p in self.pairs),
            "ours_cpu": _median(p.ours.cpu for p in self.pairs),
            "theirs_cpu": _median(p.theirs.cpu for p in self.pairs),
            "pairs": [
                {
                    "ours": {"value": p.ours.value, "cpu": p.ours.cpu},
                    "theirs": {"value": p.theirs.value, "cpu": p.theirs.cpu},
                }
                for p in self.pairs
            ],
        }


def _median(values: Iterator[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def measure(row: Row, place: Place, pairs: int | None = None) -> Result:
    """Measure `row`; raises Skip. The side that goes first changes from pair to pair."""
    with row.prepare(place) as sides:
        if row.warm:
            sides.ours()
            sides.theirs()
        found = []
        for number in range(pairs or row.pairs):
            if number % 2 == 0:
                ours = sides.ours()
                theirs = sides.theirs()
            else:
                theirs = sides.theirs()
                ours = sides.ours()
            found.append(Pair(ours, theirs))
    return Result(row, tuple(found))


@contextlib.contextmanager
def one(sides: Sides) -> Iterator[Sides]:
    """Sides that need nothing prepared and leave nothing behind."""
    yield sides


def timed(body: Callable[[], object]) -> Cost:
    """The cost of a call in this process, its children included."""
    start, cpu = time.perf_counter(), _own_cpu() + _children_cpu()
    body()
    return Cost(time.perf_counter() - start, _own_cpu() + _children_cpu() - cpu)


def process(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    expected: Sequence[int] = (0,),
) -> Cost:
    """The cost of a process: wall time until it ends, CPU time with all that it started.

    What it leaves running is waited for, so that nothing of it weighs on the next measurement.
    """
    adopt_orphans()
    before = _children()
    start, cpu = time.perf_counter(), _children_cpu()
    done = subprocess.run(
        command, cwd=cwd, env=None if env is None else dict(env), stdin=subprocess.DEVNULL,
        capture_output=True, check=False,
    )  # fmt: skip
    wall = time.perf_counter() - start
    if done.returncode not in expected:
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        raise Skip(f"{' '.join(command)[:200]} ended with {done.returncode}: {said[-2000:]}")
    for pid in _children() - before:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return Cost(wall, _children_cpu() - cpu)


def adopt_orphans() -> None:
    """Let what our processes leave behind become our own child, so that its CPU time is counted."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _children() -> set[int]:
    try:
        tasks = Path("/proc/self/task").iterdir()
        return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}
    except OSError:
        return set()


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
