"""Reads what an experiment logged while it ran, and draws it in one line."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mitosis import floats
from mitosis.folder import TrialFolder

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Series:
    """What was logged under one name, in the order of the calls."""

    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]  # as many


def read(folder: TrialFolder) -> tuple[Series, ...]:
    """The series of a trial, by name; empty where it logged nothing. Raises OSError.

    A line that is not whole, as a kernel leaves it that was killed, is passed over.
    """
    steps: dict[str, list[float]] = defaultdict(list)
    values: dict[str, list[float]] = defaultdict(list)
    for step, name, value in _entries(folder):
        steps[name].append(step)
        values[name].append(value)
    return tuple(Series(name, tuple(steps[name]), tuple(values[name])) for name in sorted(steps))


def _entries(folder: TrialFolder) -> Iterator[tuple[float, str, float]]:
    try:
        lines = (folder.series / "log.jsonl").read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in lines:
        try:
            entry = json.loads(line)
            step = entry["step"]
            for name, value in entry["values"].items():
                yield step, str(name), float(value)
        except (ValueError, LookupError, TypeError, AttributeError):
            continue


def thinned(one: Series, most: int) -> Series:
    """At most about `most` points of the series: of each stretch its smallest and its largest value."""
    if len(one.values) <= most:
        return one
    width = max(2 * len(one.values) // most, 2)
    kept: list[int] = []
    for start in range(0, len(one.values), width):
        stretch = [
            i for i in range(start, min(start + width, len(one.values))) if one.values[i] == one.values[i]
        ]
        if stretch:
            kept += sorted(
                {min(stretch, key=one.values.__getitem__), max(stretch, key=one.values.__getitem__)}
            )
    kept = sorted({0, *kept, len(one.values) - 1})
    return Series(one.name, tuple(one.steps[i] for i in kept), tuple(one.values[i] for i in kept))


def bars(values: Sequence[float], width: int = 30) -> str:
    """The values as a line of at most `width` bars, each the mean of its stretch; a space for none."""
    size = max(math.ceil(len(values) / width), 1)
    stretches = [[v for v in values[i : i + size] if math.isfinite(v)] for i in range(0, len(values), size)]
    means = [floats.mean(s) if s else None for s in stretches]
    there = [m for m in means if m is not None]
    if not there:
        return ""
    low, high, top = min(there), max(there), len(_BARS) - 1
    return "".join(" " if m is None else _BARS[round(floats.share(m, low, high) * top)] for m in means)
