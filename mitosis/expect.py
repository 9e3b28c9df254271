"""What is expected of a trial's numbers, said before it runs (`{main: "< 0.01"}`), and whether it came so."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from mitosis.errors import ConfigurationRefused
from mitosis.trial import JSON, Outcome, Status

CONFIRMED, REFUTED = "confirmed", "refuted"

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_COMPARED = re.compile(rf"(<=|>=|==|!=|<|>)\s*({_NUMBER})")
_AROUND = re.compile(rf"({_NUMBER})\s*\+-\s*({_NUMBER})")
_BETWEEN = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})")


def checked(given: Mapping[str, Any]) -> dict[str, str]:
    """The expectations by metric, as texts. Raises ConfigurationRefused for one that cannot be judged."""
    found = {}
    for metric, text in given.items():
        found[str(metric)] = " ".join(str(text).split())
        if _judge(found[str(metric)]) is None:
            raise ConfigurationRefused(
                f"experiment.expect.{metric} is {str(text)!r}, which cannot be judged",
                'write a comparison, a range or a value with its margin: "< 0.01", "1 .. 2", "0.9 +- 0.05"',
            )
    return found


def judged(expected: Mapping[str, str], outcome: Outcome) -> str:
    """`confirmed` where every expectation came true, else `refuted`; '' where nothing can be said.

    Nothing can be said where nothing was expected or the trial did not succeed. A metric that is not there,
    is no number, or is nan refutes what was expected of it.
    """
    if not expected or outcome.status is not Status.SUCCEEDED:
        return ""
    values: dict[str, JSON] = {**outcome.metrics, "main": outcome.main}
    return CONFIRMED if all(_holds(text, values.get(m)) for m, text in expected.items()) else REFUTED


def shown(expected: Mapping[str, str]) -> str:
    """The expectations on one line: `main < 0.01, loss 1 .. 2`."""
    return ", ".join(f"{metric} {text}" for metric, text in expected.items())


def _holds(text: str, value: JSON) -> bool:
    judge = _judge(text)
    if judge is None or isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the floats
        number = math.inf if value > 0 else -math.inf
    return not math.isnan(number) and judge(number)


def _judge(text: str) -> Callable[[float], bool] | None:
    """What tells whether a number is as `text` says; None where the text says nothing that can be told."""
    if match := _COMPARED.fullmatch(text):
        compare, limit = _COMPARISONS[match[1]], float(match[2])
        return lambda value: bool(compare(value, limit))
    if match := _AROUND.fullmatch(text):
        centre, margin = float(match[1]), float(match[2])
        return lambda value: abs(value - centre) <= margin
    if match := _BETWEEN.fullmatch(text):
        low, high = float(match[1]), float(match[2])
        return lambda value: low <= value <= high
    return None
