"""Statistics over trials: how groups of them differ, and whether the seeds alone could explain it."""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mitosis import floats, identity
from mitosis.groups import EVERYTHING, check_names, number, order, value_of, written
from mitosis.trial import JSON, Summary

CONFIDENCE = 0.95
PAIRED = "paired t-test"
WELCH = "Welch's t-test"


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of n numbers; `std` is the sample's (n - 1). What n numbers do not give is None."""

    n: int
    mean: float
    std: float | None
    ci_low: float | None  # of the mean, 95 %, by Student's t
    ci_high: float | None
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Group:
    """Trials that are alike in what they are grouped by, newest first, and statistics of their numbers."""

    label: str
    key: tuple[JSON, ...]
    trials: tuple[Summary, ...]
    values: tuple[float, ...]  # one for each trial
    statistics: Statistics

    def by_seed(self) -> dict[int, float]:
        """The mean of the numbers of each seed: a seed is what is repeated, not a trial."""
        found: dict[int, list[float]] = defaultdict(list)
        for trial, value in zip(self.trials, self.values, strict=True):
            found[trial.seed].append(value)
        return {seed: floats.mean(values) for seed, values in found.items()}


@dataclass(frozen=True, slots=True)
class Pair:
    """How two groups differ: `difference` is the mean of `a` less that of `b`, over the seeds that count."""

    a: str
    b: str
    difference: float
    ci_low: float | None
    ci_high: float | None
    paired: bool  # over the seeds that both have; else over all seeds of each
    within_chance: bool | None  # the interval holds 0; None: too few seeds to say anything
    seeds: tuple[int, int]  # how many of each count


@dataclass(frozen=True, slots=True)
class Comparison:
    """The groups in the order of their keys, pairs of them, and the trials that have no number."""

    metric: str
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    without: tuple[Summary, ...]


# --- groups -------------------------------------------------------------------------------------


def compare(
    trials: Sequence[Summary],
    metric: str = "main",
    by: Sequence[str] = ("variant",),
    most: int | None = None,
    lowest: bool = False,
) -> Comparison:
    """Groups of `trials` by what `by` names, their statistics of `metric`, and every pair of groups.

    `metric` is `main` or the name of a metric, with or without `metrics.`; numbers that are not finite do not
    count. Where there are more groups than `most`, the pairs are only those of the group with the highest
    (or `lowest`) mean. Raises Refused where no trial has what `by` names.
    """
    numbers = [(trial, number(trial, metric)) for trial in trials]
    having = [(trial, value) for trial, value in numbers if value is not None]
    groups = grouped(having, by)
    couples: Iterable[tuple[Group, Group]] = itertools.combinations(groups, 2)
    if most is not None and len(groups) > most:
        best = (min if lowest else max)(groups, key=lambda group: group.statistics.mean)
        couples = ((best, other) for other in groups if other is not best)
    pairs = tuple(pair(a, b) for a, b in couples)
    return Comparison(metric, groups, pairs, tuple(t for t, value in numbers if value is None))


def grouped(numbers: Sequence[tuple[Summary, float]], by: Sequence[str]) -> tuple[Group, ...]:
    """The groups of (trial, number), in the order of their keys. Raises Refused as `compare` does."""
    names = expanded(by)
    check_names([trial for trial, _ in numbers], by)
    found: dict[str, list[tuple[Summary, float]]] = defaultdict(list)
    keys: dict[str, tuple[JSON, ...]] = {}
    for trial, value in numbers:
        key = tuple(value_of(trial, name) for name in names)
        text = repr([written(v) for v in key])
        keys[text] = key
        found[text].append((trial, value))
    labels = _labels(keys, names, by)
    groups = [
        Group(
            labels[text],
            keys[text],
            tuple(trial for trial, _ in members),
            tuple(value for _, value in members),
            describe([value for _, value in members]),
        )
        for text, members in found.items()
    ]
    return tuple(sorted(groups, key=lambda group: [order(v) for v in group.key]))


def expanded(by: Sequence[str]) -> tuple[str, ...]:
    """The names that make the keys: a variant's label may have stood for several parameter sets."""
    names: list[str] = []
    for name in by:
        if name == "variant":
            names += ["variant", "param_set"]
        elif name == EVERYTHING:
            names += ["variant", "param_set", "code"]
        else:
            names.append(name)
    return tuple(dict.fromkeys(names))


def _labels(keys: Mapping[str, tuple[JSON, ...]], names: Sequence[str], by: Sequence[str]) -> dict[str, str]:
    """What each group is called: `fast`; `params.dt=0.1, model=svm`; a digest where that is not enough."""
    internal = ("param_set", "code", "code_identity", "commit")
    shown = [n for n in names if n not in internal or n in by] or list(names)

    def text(key: tuple[JSON, ...], wanted: Sequence[str]) -> str:
        parts = []
        for name, value in zip(names, key, strict=True):
            if name in wanted:
                words = value if isinstance(value, str) else identity.shown(value)
                words = words[:7] if name in internal else words
                parts.append(words if name == "variant" else f"{name}={words}")
        return ", ".join(parts)

    plain = {group: text(key, shown) for group, key in keys.items()}
    again = Counter(plain.values())
    return {g: label if again[label] == 1 else text(keys[g], names) for g, label in plain.items()}


# --- statistics -----------------------------------------------------------------------------------


def describe(values: Sequence[float]) -> Statistics:
    """The statistics of one or more finite numbers; equal ones have an interval without width."""
    low, high = min(values), max(values)
    if len(values) == 1:
        return Statistics(1, values[0], None, None, None, low, high)
    if low == high:
        return Statistics(len(values), low, 0.0, low, low, low, high)
    import numpy as np

    with np.errstate(all="ignore"):
        mean = min(max(float(np.mean(values)), low), high)  # rounding may leave the numbers' own range
        std = float(np.std(values, ddof=1))
    # a spread below the smallest float is one of 0
    half = _quantile(len(values) - 1) * std / math.sqrt(len(values))
    return Statistics(len(values), mean, std, *_bounds((mean - half, mean + half)), low, high)


@lru_cache(maxsize=1024)
def _quantile(freedom: int) -> float:
    """Of Student's t, so that CONFIDENCE lies between it and its negative.

    What `scipy.stats.t.interval` asks for; that module itself takes a second to import.
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def pair(a: Group, b: Group) -> Pair:
    """How two groups differ: by a paired t-test over the seeds that both have, where these are two or more.

    Otherwise by Welch's t-test over all seeds of each, which needs two of each. Where a seed has several
    trials in a group (of other parameters), their mean stands for it.
    """
    from scipy import stats

    first, second = a.by_seed(), b.by_seed()
    shared = sorted(first.keys() & second.keys())
    paired = len(shared) >= 2
    x = [first[seed] for seed in shared] if paired else list(first.values())
    y = [second[seed] for seed in shared] if paired else list(second.values())
    seeds = (len(x), len(y))
    apart = [p - q for p, q in zip(x, y, strict=True)] if paired else []
    difference = floats.mean(apart) if paired else floats.mean(x) - floats.mean(y)
    if min(seeds) < 2:
        return Pair(a.label, b.label, difference, None, None, False, None, seeds)
    constant = len(set(apart)) == 1 if paired else len(set(x)) == len(set(y)) == 1
    if constant:
        low, high = _bounds((difference, difference))
    else:
        with _quiet():
            test = stats.ttest_rel(x, y) if paired else stats.ttest_ind(x, y, equal_var=False)
            low, high = _bounds(test.confidence_interval(CONFIDENCE))
    within = None if low is None or high is None else low <= 0 <= high
    return Pair(a.label, b.label, difference, low, high, paired, within, seeds)


def _bounds(interval: Sequence[float]) -> tuple[float | None, float | None]:
    """The interval's ends; None for both where the numbers are too large for a float."""
    low, high = (float(end) for end in interval)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """SciPy warns of numbers that are nearly equal: that is what the interval says."""
    import numpy as np

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
