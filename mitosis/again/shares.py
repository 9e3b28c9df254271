"""Shares of a change among its causes: Shapley values over the hybrids that could be run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MOST_EXACT = 4
"""Up to so many causes all subsets are run; beyond, one at a time, forward and backward."""

Value = Callable[
    [frozenset[str]], float | None
]  # the number with these causes taken from b; None: it cannot run


@dataclass(frozen=True, slots=True)
class Shares:
    """The part of v(all) - v(none) that each cause makes; None where it cannot be told."""

    parts: Mapping[str, float | None]
    exact: bool  # all subsets; False: one at a time, forward and backward
    orders: tuple[int, int] = (0, 0)  # exact: in how many orders the causes could be exchanged, of how many
    interaction: float | None = 0.0  # what the parts do not add up to; 0 where exact


def needed(causes: Sequence[str]) -> list[frozenset[str]]:
    """The subsets whose value is asked for, the two ends first, small ones before large ones."""
    whole = frozenset(causes)
    ends = [frozenset[str](), whole]
    if len(causes) <= MOST_EXACT:
        sizes = range(1, len(causes))
        return ends + [frozenset(s) for size in sizes for s in itertools.combinations(causes, size)]
    return ends + [frozenset([c]) for c in causes] + [whole - {c} for c in causes]


def shares(causes: Sequence[str], value: Value) -> Shares:
    """The share of each cause.

    Up to four causes: the mean, over the orders in which the causes can be exchanged one after the other,
    of what each adds (L. S. Shapley, A value for n-person games, 1953). Where a subset has no value, the
    orders that pass through it are left out, as for games with precedence (U. Faigle and W. Kern, 1992); the
    shares add up to the whole change all the same. More causes: the mean of what each adds to `a` alone and
    takes from `b` alone; `interaction` is what is left.
    """
    return _exact(causes, value) if len(causes) <= MOST_EXACT else _one_at_a_time(causes, value)


def _exact(causes: Sequence[str], value: Value) -> Shares:
    added: dict[str, list[float]] = {c: [] for c in causes}
    used = 0
    for order in itertools.permutations(causes):
        steps = [value(frozenset(order[:i])) for i in range(len(order) + 1)]
        known = [s for s in steps if s is not None]
        if len(known) < len(steps):
            continue
        used += 1
        for cause, before, after in zip(order, known, known[1:], strict=False):
            added[cause].append(after - before)
    parts = {c: math.fsum(v) / used if used else None for c, v in added.items()}
    return Shares(parts, True, (used, math.factorial(len(causes))))


def _one_at_a_time(causes: Sequence[str], value: Value) -> Shares:
    whole = frozenset(causes)
    none, every = value(frozenset()), value(whole)
    parts: dict[str, float | None] = {}
    for cause in causes:
        alone, without = value(frozenset([cause])), value(whole - {cause})
        forward = alone - none if alone is not None and none is not None else None
        backward = every - without if every is not None and without is not None else None
        told = [x for x in (forward, backward) if x is not None]
        parts[cause] = math.fsum(told) / len(told) if told else None
    known = [p for p in parts.values() if p is not None]
    complete = len(known) == len(causes) and none is not None and every is not None
    rest = every - none - math.fsum(known) if complete and every is not None and none is not None else None
    return Shares(parts, False, interaction=rest)
