"""What shows a trial while it runs: the protocol, and the displays that need no terminal."""

from __future__ import annotations

import sys
from typing import Protocol

from mitosis.gate import Sweep, Verdict
from mitosis.request import Request
from mitosis.trial import Trial, TrialSpec


class Display(Protocol):
    """What shows a trial while it runs."""

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


class Silent:
    """The display that shows nothing."""

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
        stream = sys.stderr if name == "stderr" else sys.stdout
        stream.write(text)
        stream.flush()
