"""Tells, in the driver, of the trials of a sweep that other processes run, by what the store says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from mitosis.cli import text
from mitosis.trial import RAN, Status

if TYPE_CHECKING:
    from mitosis.store.store import Store

_BAD = tuple(s for s in Status if s.final and s is not Status.SUCCEEDED)
_MOST = 1000  # trials that are looked through at a time


class Elsewhere:
    """What was told of the jobs of a sweep so far."""

    def __init__(self, sweep: str, began: str) -> None:
        """`began`: a sweep that goes on had other trials before."""
        self._sweep = sweep
        self._began = datetime.fromisoformat(began) if began else None
        self._last: tuple[dict[Status, int], int] = ({}, 0)  # nothing is new while the counts are the same
        self._failed: set[str] = set()
        self._begun: set[str] = set()
        self._stood_for: set[int] = set()
        self._reasons = True  # does a trial of this sweep say why it ran

    def lines(self, store: Store, counts: Mapping[Status, int], skipped: int) -> Iterator[str]:
        """What is new: which trial stands for a job, why one runs, and how one failed, with its report.

        `counts` are those of the sweep's own trials, `skipped` is the number of jobs that are stood for.
        """
        stands = (dict(counts), skipped)
        if stands == self._last:
            return
        self._last = stands
        if skipped:
            yield from self._standing(store)
        if self._reasons:
            yield from self._running(store)
        if any(counts.get(status) for status in _BAD):
            yield from self._failing(store)

    def _standing(self, store: Store) -> Iterator[str]:
        new = sorted(set(store.stood_for(self._sweep)) - self._stood_for)
        self._stood_for.update(new)
        found = store.standing(self._sweep, new[0], new[-1]) if new else {}
        for job in new:
            trial = found.get(job)
            if trial is not None:
                what = text.safe(f"{trial.experiment} {trial.variant} seed={trial.seed}")
                yield f"{store.short(trial.id)} stands for {what}: main={text.number(trial.main)}"

    def _running(self, store: Store) -> Iterator[str]:
        from mitosis.store import Query

        for line in reversed(store.find(Query(sweep=self._sweep, since=self._began, limit=_MOST))):
            if line.id in self._begun or line.sweep != self._sweep:
                continue
            self._begun.add(line.id)
            trial = store.get(line.id)
            spec = trial.spec
            why = next((note.what for note in spec.notes if note.kind == RAN), "")
            if trial.refused:  # before it was asked whether another one stands for it
                continue
            if not why:
                self._reasons = False  # the sweep was begun without mitosis.rerun=missing
                return
            what = text.safe(f"{spec.experiment} {spec.variant} seed={spec.seed}: running ({why})")
            yield f"{store.short(line.id)} {what}"

    def _failing(self, store: Store) -> Iterator[str]:
        from mitosis.store import Query

        for line in reversed(
            store.find(Query(sweep=self._sweep, status=_BAD, since=self._began, limit=_MOST))
        ):
            if line.id in self._failed or line.sweep != self._sweep:
                continue
            self._failed.add(line.id)
            trial = store.get(line.id)
            yield text.failure(trial)
            yield text.closing_line(trial, store.short(line.id))
