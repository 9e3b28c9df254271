"""Hands the jobs of a sweep to its engine, and outlives what becomes of the engine's workers.

Hydra's launchers give up a whole batch, and with it the sweep, when one worker is killed. What became
of each job is known from the store; those that never began are handed over once more.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from mitosis import jobs, signals
from mitosis.app import inner, objective
from mitosis.beside import Beside
from mitosis.errors import StoreRefused
from mitosis.gate import Verdict
from mitosis.trial import Status, Summary

POLL_SECONDS = 0.5
_RECORDING_SECONDS = 30.0  # for figures, page and row of what was interrupted

Overrides = Sequence[Sequence[str]]


def guard(
    verdict: Verdict, objectives: Sequence[str], failed: Callable[[object], None], beside: Beside
) -> None:
    """Let the launcher that Hydra makes next be a `Guarded` one."""
    inner.wrap_launchers(lambda launcher: Guarded(launcher, verdict, objectives, failed, beside))


class Guarded(Launcher):
    """An engine's launcher that returns for every job, whatever becomes of the workers."""

    def __init__(
        self,
        inner: Launcher,
        verdict: Verdict,
        objectives: Sequence[str],
        failed: Callable[[object], None],
        beside: Beside,
    ) -> None:
        self.inner = inner
        self._verdict, self._objectives = verdict, objectives
        self._failed, self._beside = failed, beside

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """For Hydra's interface: `inner` is set up already."""

    def launch(self, job_overrides: Overrides, initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch; the answers of jobs that the engine lost are taken from the store."""
        try:
            with signals.gently(self._end_workers):
                return self._launch(job_overrides, initial_job_idx)
        finally:
            self._beside.wait()

    def _end_workers(self, heard: int) -> bool:
        """Interrupt the trials of workers that are this process's children, and let them be recorded.

        joblib kills its workers as soon as the driver is interrupted. The second signal of the user is passed
        on as well, and ends their kernels.
        """
        working = self._working()
        for pid in working:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if heard > 1:
            return False
        end = time.monotonic() + max(working.values(), default=0.0) + _RECORDING_SECONDS
        while self._working() and time.monotonic() < end:
            time.sleep(POLL_SECONDS)  # the store alone tells: a worker lives on after its trial
        return True

    def _working(self) -> dict[int, float]:
        children = sys.modules.get("multiprocessing.process")  # else nothing made any
        pids = {child.pid for child in children.active_children()} if children is not None else set()
        try:
            return jobs.working(self._verdict, pids) if pids else {}
        except StoreRefused:  # nobody knows: they are given their time
            return dict.fromkeys(pids, 0.0)

    def _launch(self, job_overrides: Overrides, initial_job_idx: int) -> Sequence[JobReturn]:
        try:
            answers = self.inner.launch(job_overrides, initial_job_idx)
        except Exception as error:  # each engine has errors of its own for a worker that is gone
            if not self._standing(initial_job_idx, len(job_overrides)):
                raise  # nothing began: the engine itself cannot be used
            self._failed(error)
            self._begin_the_rest(job_overrides, initial_job_idx)
            standing = self._over(initial_job_idx, len(job_overrides))
            return [
                self._answer(overrides, standing.get(number))
                for number, overrides in enumerate(job_overrides, initial_job_idx)
            ]
        return [self._heard(answer) for answer in answers]

    def _begin_the_rest(self, job_overrides: Overrides, first: int) -> None:
        """Hand over again what never began, as long as that gets something begun."""
        before = len(job_overrides) + 1
        while True:
            begun = self._standing(first, len(job_overrides))
            missing = [n for n in range(first, first + len(job_overrides)) if n not in begun]
            if not missing or len(missing) >= before:
                return
            before = len(missing)
            for start, end in _runs(missing):
                try:
                    self.inner.launch(job_overrides[start - first : end - first], start)
                except Exception as error:  # as above
                    self._failed(error)

    def _over(self, first: int, number: int) -> dict[int, Summary]:
        """The trials that stand for the jobs, when none of them runs any more."""
        while True:
            standing = self._standing(first, number)
            if all(trial.status.final for trial in standing.values()):
                return standing
            time.sleep(POLL_SECONDS)

    def _standing(self, first: int, number: int) -> dict[int, Summary]:
        """The trials that stand for the jobs, by the number that Hydra gave the job."""
        shift = self._verdict.first_job
        found = jobs.standing_jobs(self._verdict, first + shift, first + shift + number - 1)
        return {job - shift: trial for job, trial in found.items()}

    def _heard(self, answer: JobReturn) -> JobReturn:
        """The answer of a job; one that a worker could not even record is told, and ends nothing."""
        if answer.status is JobStatus.FAILED:
            self._failed(answer._return_value)
            answer.status, answer._return_value = JobStatus.COMPLETED, None
        answer.cfg = answer.hydra_cfg = None  # 95 KB a job, where the callback of a worker did not drop it
        return answer

    def _answer(self, overrides: Sequence[str], trial: Summary | None) -> JobReturn:
        answer = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
        ended = Status.LOST if trial is None else trial.status
        main, metrics = (trial.main, trial.metrics) if trial is not None else (None, {})
        answer._return_value = objective.value(ended, main, metrics, self._objectives)
        return answer


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The stretches of consecutive numbers, each as its first and the one after its last."""
    start = numbers[0]
    for before, number in itertools.pairwise(numbers):
        if number != before + 1:
            yield start, before + 1
            start = number
    yield start, numbers[-1] + 1
