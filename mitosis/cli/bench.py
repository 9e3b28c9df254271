"""What the commands share that run the record again: where they run, and what they show meanwhile."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis.cli import locate, text
from mitosis.display import Silent, write
from mitosis.errors import TrialNotFound
from mitosis.trial import Status, Trial, TrialSpec

if TYPE_CHECKING:
    from mitosis.again.recorded import Bench
    from mitosis.store.store import Store


def opened(store: Store, trial: Trial, url: str | None) -> Bench:
    """Where the recipe of `trial` can run again: in the repository around, else in the one it ran in.

    Raises TrialNotFound where neither is there or of the trial's project.
    """
    from mitosis.again import recorded

    here = locate.repository()
    if here is None or locate.project() != trial.spec.code.project:
        here = Path(trial.spec.code.repository)
        if not (here / ".git").exists():
            raise TrialNotFound(
                f"the repository of trial {trial.id} is not here: {here}",
                "cd into a clone of it, and name the store: --store URL",
            )
    address = locate.url_of(url) or store.url
    root = locate.root_of(store.url)
    depth = len(Path(trial.spec.experiment).parts)
    return recorded.bench(here, Path(root) if root else Path(trial.spec.folder).parents[depth], address)


class Steps(Silent):
    """Shows trials that are run for an answer: a line for each when it has ended, on stderr."""

    def __init__(self, total: int | None = None) -> None:
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def started(self, spec: TrialSpec, why: str) -> None:
        """Say nothing: what ends soon needs one line."""

    def finished(self, trial: Trial) -> None:
        """Say what became of a trial, and why it failed in one line."""
        with self._lock:
            self._done += 1
            count = f"[{self._done}/{self._total}] " if self._total is not None else ""
            name = text.safe(f"{trial.id} {trial.spec.note}")
            outcome = trial.outcome
            if trial.status is Status.SUCCEEDED and outcome is not None:
                end = f"main={text.number(outcome.main)}  {text.seconds(outcome.seconds)}"
            else:
                reason = outcome.error.message.partition("\n")[0] if outcome and outcome.error else ""
                end = f"{trial.status.value}: {text.safe(reason)}"
            write(sys.stderr, f"{count}{name}: {end}\n")
