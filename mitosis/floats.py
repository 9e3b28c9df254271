"""Arithmetic with floats of any size: what is logged and measured may lie at the end of their range."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """The mean of at least one number; shares are added where the sum is beyond what a float holds.

    nan where there are infinities of both signs.
    """
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # ValueError: infinities of both signs
        return sum(v / len(values) for v in values)


def share(value: float, low: float, high: float) -> float:
    """Where `value` lies between `low` (0.0) and `high` (1.0); 0.0 where these are the same."""
    scale = max(abs(low), abs(high), 1.0)
    span = high / scale - low / scale  # the difference itself may be beyond what a float holds
    return (value / scale - low / scale) / span if span > 0 else 0.0
