"""What shows a trial while it runs: the protocol, and the displays that need no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol, TextIO, TypeAlias

from mitosis.gate import Sweep, Verdict
from mitosis.request import Request
from mitosis.trial import Trial, TrialSpec

Naming: TypeAlias = Callable[[str], str]
"""What gives the shortest unique beginning of a trial's id."""


class Display(Protocol):
    """What shows a trial while it runs."""

    def naming(self, name: Naming) -> None:
        """How the ids of trials are shortened from now on; a display that shows none need not ask."""

    def started(self, spec: TrialSpec, why: str) -> None:
        """The trial's row exists, its kernel is about to start; `why` it has to run, where that was asked."""

    def stream(self, name: str, text: str) -> None:
        """The experiment wrote `text` to `name`, stdout or stderr."""

    def finished(self, trial: Trial) -> None:
        """The trial is closed."""

    def skipped(self, request: Request, trial: Trial) -> None:
        """Nothing runs: `trial` stands for what was asked."""

    def sweep_started(self, verdict: Verdict, sweep: Sweep) -> None:
        """The gate is passed and the sweep is filed; its jobs are launched next."""

    def sweep_finished(self, verdict: Verdict) -> None:
        """Hydra has returned; what became of the jobs stands in the store."""


def write(stream: TextIO, text: str) -> None:
    """Write to a stream of ours; one that is closed or knows no such letter ends no trial."""
    try:
        stream.write(text)
        stream.flush()
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError):  # the reader of the pipe left, or the terminal is gone
        return


class Silent:
    """The display that shows nothing."""

    def naming(self, name: Naming) -> None:
        """Say nothing."""

    def started(self, spec: TrialSpec, why: str) -> None:
        """Say nothing."""

    def stream(self, name: str, text: str) -> None:
        """Say nothing."""

    def finished(self, trial: Trial) -> None:
        """Say nothing."""

    def skipped(self, request: Request, trial: Trial) -> None:
        """Say nothing."""

    def sweep_started(self, verdict: Verdict, sweep: Sweep) -> None:
        """Say nothing."""

    def sweep_finished(self, verdict: Verdict) -> None:
        """Say nothing."""


class Plain(Silent):
    """The display of a worker: the experiment's output as it comes, nothing else."""

    def stream(self, name: str, text: str) -> None:
        """Hand the text on to the stream of the same name."""
        write(sys.stderr if name == "stderr" else sys.stdout, text)
