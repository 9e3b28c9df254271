"""What an optimizing sweeper is told of a trial: its objectives, or None for one that failed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from mitosis import jobs
from mitosis.gate import Verdict
from mitosis.trial import JSON, Status

Value: TypeAlias = float | list[float] | None


def value(status: Status, main: JSON, metrics: Mapping[str, float], names: Sequence[str]) -> Value:
    """One number, or a list of as many as there are `names`.

    None where the trial did not succeed, or one of them is missing or nan: Optuna is then told that the
    trial failed, where a nan would end the study.
    """
    if status is not Status.SUCCEEDED:
        return None
    found = [main if name == "main" else metrics.get(name) for name in names]
    numbers = [_number(each) for each in found]
    if any(number is None for number in numbers):
        return None
    known = [number for number in numbers if number is not None]
    return known if len(names) > 1 else known[0]


def _number(given: JSON) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        number = float(given)
    except OverflowError:  # an integer beyond the floats
        return None
    return None if math.isnan(number) else number


def of_job(verdict: Verdict, job: int | None, names: Sequence[str]) -> Value:
    """As `value`, of the trial that stands for the job; None where it has not ended."""
    if verdict.sweep is None or job is None:
        return None
    holder = jobs.standing_jobs(verdict, job, job).get(job)
    return None if holder is None else value(holder.status, holder.main, holder.metrics, names)
