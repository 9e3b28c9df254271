"""Frozen values that go into the store as questions and come out of it as answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mitosis.trial import JSON, Status, Variant
from mitosis.where import Where


@dataclass(frozen=True, slots=True)
class Query:
    """Which trials, in which order; what is None or empty does not restrict.

    `sort` is a key of a `Summary` (or `metrics.NAME`, `params.NAME`), with "-" in front for descending;
    trials without a value come last either way, and ties are broken by the newest.
    """

    project: str | None = None
    experiment: str | None = None
    variant: str | None = None  # the whole label
    status: tuple[Status, ...] = ()  # any of these
    seed: int | None = None
    commit: str | None = None  # the first digits of the hash
    since: datetime | None = None  # with a time zone; a trial started then counts
    until: datetime | None = None  # with a time zone; a trial started then does not
    sweep: str | None = None  # the first digits of its id
    param_set: str | None = None  # the whole digest
    tags: tuple[str, ...] = ()  # all of these
    code_identity: str | None = None  # the whole digest
    removed: bool = False  # those in the trash as well; so does a `where` that names `removed`
    where: Where | None = None  # see mitosis/where.py
    sort: str = "-started_at"
    limit: int | None = None
    after: str | None = None  # the id of the last trial of the page before


@dataclass(frozen=True, slots=True)
class Group:
    """Trials with equal values of some keys; the numbers are of `main` of those that succeeded."""

    values: tuple[JSON, ...]
    counts: Mapping[Status, int]
    n: int  # that succeeded with a number
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class SweepState:
    """How a sweep stands."""

    record: SweepRecord
    counts: Mapping[Status, int]  # of its own trials, a job that was run again counts once
    stood_for: int  # jobs for which an earlier trial stands
    began: str | None  # start of the first trial, ISO 8601, UTC
    latest: str | None  # start of the latest
    now: str  # when this was read, by the clock that the other two are by
    hosts: tuple[str, ...]  # only where they were asked for

    @property
    def running(self) -> int:
        """How many trials of it run."""
        return self.counts.get(Status.RUNNING, 0)

    @property
    def done(self) -> int:
        """How many jobs are over, whatever became of them."""
        return sum(self.counts.values()) - self.running + self.stood_for

    @property
    def waiting(self) -> int | None:
        """How many jobs have not begun; None where the size of the sweep is not known."""
        return None if self.record.size is None else max(self.record.size - self.done - self.running, 0)


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """A sweep as the store knows it; what is None was never told (its driver did not reach the store)."""

    id: str
    project: str
    command: str | None
    size: int | None  # jobs
    started_at: str | None  # ISO 8601, UTC


@dataclass(frozen=True, slots=True)
class VariantUse:
    """One version of a variant, and how often, first and last, trials used it."""

    project: str
    experiment: str
    variant: Variant
    filed_at: str  # ISO 8601, UTC
    first_used_at: str | None  # start of a trial; None: filed, and no trial of it is left
    last_used_at: str | None
    trials: int
