"""What a process of an invocation knows: the driver its display and trials, a worker the verdict."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from mitosis.beside import Beside
from mitosis.display import Display, Plain
from mitosis.errors import MitosisError
from mitosis.gate import Verdict
from mitosis.trial import Trial


@dataclass
class Invocation:
    """One command line, in the process that the user started."""

    repository: Path
    display: Display
    command: tuple[str, ...] = ()  # the words that would start it again, from the repository's top
    pid: int = field(default_factory=os.getpid)
    verdict: Verdict | None = None
    trials: list[Trial] = field(default_factory=list)  # that ran in this process
    error: MitosisError | None = None  # why nothing ran
    faults: int = 0  # of workers, that the store cannot tell of
    beside: Beside | None = None  # of a sweep

    def own_file(self, path: Path) -> Path:
        """The file of the repository that `path` is a copy of, where the code runs from a checkout."""
        tree = Path(self.verdict.code.tree) if self.verdict is not None else self.repository
        return self.repository / path.relative_to(tree) if path.is_relative_to(tree) else path

    def fail(self, error: object) -> None:
        """Count a worker that failed, and say so."""
        self.faults += 1
        first = str(error).strip().partition("\n")[0]
        self.display.stream("stderr", f"mitosis: a worker failed: {type(error).__name__}: {first}\n")


_invocation: Invocation | None = None
_verdict: Verdict | None = None


def begin(invocation: Invocation) -> None:
    """Remember the invocation of this process."""
    global _invocation
    _invocation = invocation


def invocation() -> Invocation | None:
    """The invocation where this process is its driver, else None."""
    return _invocation if _invocation is not None and _invocation.pid == os.getpid() else None


def display() -> Display:
    """The driver's display, or a plain one in a worker."""
    driver = invocation()
    return driver.display if driver is not None else Plain()


def present(verdict: Verdict | None) -> None:
    """Lay the gate's verdict down for the task that starts next."""
    global _verdict
    _verdict = verdict


def take() -> Verdict | None:
    """Take the verdict away: it holds for one task."""
    global _verdict
    verdict, _verdict = _verdict, None
    return verdict
