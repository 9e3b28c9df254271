"""Draws a logged series as a small SVG for a page: one line, its ends and its extremes in figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mitosis.notebook import markup
from mitosis.series import Series, thinned

WIDTH, HEIGHT = 600, 120  # of the drawing, its own units
_MOST_POINTS = 1200
_MOST_SERIES = 24  # on a page


@dataclass(frozen=True, slots=True)
class Curve:
    """A series ready for the template: its lines as points of a polyline, and what its ends are."""

    name: str
    lines: tuple[str, ...]  # "0,120 10,90 ..."; a value that is not finite breaks the line
    low: str
    high: str
    first: str  # step
    last: str
    points: int  # of the whole series


def curves(found: Sequence[Series]) -> list[Curve]:
    """The first series of a trial, each as a curve; those without a finite value have no line."""
    return [_curve(one) for one in found[:_MOST_SERIES]]


def _curve(one: Series) -> Curve:
    finite = [v for v in one.values if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (math.nan, math.nan)
    steps = [s for s in one.steps if math.isfinite(s)] or [0.0]
    return Curve(
        name=markup.visible(one.name),
        lines=tuple(_lines(thinned(one, _MOST_POINTS), (min(steps), max(steps)), (low, high))),
        low=f"{low:.6g}",
        high=f"{high:.6g}",
        first=f"{min(steps):.6g}",
        last=f"{max(steps):.6g}",
        points=len(one.values),
    )


def _lines(one: Series, across: tuple[float, float], up: tuple[float, float]) -> Iterator[str]:
    """The stretches of finite values, scaled to the drawing; a single point gets a short line."""
    wide, tall = (b - a if math.isfinite(b - a) and b > a else 1.0 for a, b in (across, up))
    points: list[str] = []
    for step, value in (*zip(one.steps, one.values, strict=True), (math.nan, math.nan)):
        if math.isfinite(step) and math.isfinite(value):
            x, y = (step - across[0]) / wide * WIDTH, HEIGHT - (value - up[0]) / tall * HEIGHT
            points.append(f"{x:.1f},{y:.1f}")
        elif points:
            yield " ".join(points if len(points) > 1 else [points[0], points[0]])
            points = []
