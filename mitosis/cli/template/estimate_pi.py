"""Estimates pi by throwing points at a square: the first experiment of this repository."""

import math
import random


def run(seed: int, points: int) -> dict[str, float]:
    """Throw `points` random points at the unit square; the share inside the circle is pi / 4."""
    generator = random.Random(seed)
    inside = 0
    for i in range(1, points + 1):
        inside += generator.random() ** 2 + generator.random() ** 2 < 1
        if i % (points // 4) == 0:
            print(f"{i} points: {4 * inside / i:.5f}")
    estimate = 4 * inside / points
    return {"main": abs(estimate - math.pi), "estimate": estimate}
