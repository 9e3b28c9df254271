"""Decides whether a job of a sweep runs, and which execution counts where an engine runs it twice."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from mitosis import settle
from mitosis.gate import Verdict, open_store
from mitosis.patience import patiently
from mitosis.settings import Settings
from mitosis.store import Query
from mitosis.trial import Status, Trial, TrialSpec

if TYPE_CHECKING:
    from mitosis.store.store import Store

_CUT_OFF = (Status.LOST, Status.INTERRUPTED)
"""Ends that are the engine's doing: a worker that vanished, a job that was pre-empted."""


def replaced(store: Store, spec: TrialSpec, verdict: Verdict) -> str | None:
    """The id of the trial whose claim of this job the new one takes; None where nothing may be taken.

    A second execution of a job (Ray tries again, SLURM requeues) takes over where the first one was cut off,
    and stands back from one that runs or has ended by itself, well or not. `mitosis resume` runs again what
    did not succeed before it began.
    """
    if spec.sweep is None or spec.job is None:
        return None
    holder = store.claimed(spec.sweep, spec.job)
    if holder is None:
        return None
    holder = settle.settled(store, holder)
    if holder.status in _CUT_OFF or (holder.status.final and _of_before(holder, verdict)):
        return holder.id
    return None


def _of_before(holder: Trial, verdict: Verdict) -> bool:
    """Did it fail before the sweep was resumed; both times are those of the store's clock."""
    failed = holder.status is not Status.SUCCEEDED
    return failed and verdict.resumed and holder.spec.started_at < verdict.began


def stopped(verdict: Verdict, settings: Settings) -> bool:
    """Whether no other job of the sweep is to be begun: one of this invocation ended without success.

    The rows say so, whichever process runs the jobs.
    """
    if verdict.sweep is None or settings.on_error.value != "stop":
        return False
    began = datetime.fromisoformat(verdict.began) if verdict.began else None
    bad = tuple(s for s in Status if s.final and s is not Status.SUCCEEDED)
    with patiently(lambda: open_store(verdict.store), settings.patience) as store:
        return bool(store.find(Query(sweep=verdict.sweep, status=bad, since=began, limit=1)))
