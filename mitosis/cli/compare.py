"""`mitosis compare`: which variant is better, by how much, and whether the seeds could explain it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mitosis import compare
from mitosis.again import noise
from mitosis.cli import answers, export, locate, sample, select, tables, text
from mitosis.errors import SelectionRefused
from mitosis.frame import Frame
from mitosis.trial import JSON, Summary

if TYPE_CHECKING:
    from mitosis.store.store import Store

_KEYS = ("variant", "n", "mean", "std", "ci_low", "ci_high", "min", "max")
_NEAREST = 10  # groups behind the first that are told with how they differ from it
_ALL_PAIRS = 4  # groups; with more, the text tells only how the first differs from the others


@click.command()
@click.option(
    "--by",
    multiple=True,
    default=["variant"],
    show_default=True,
    metavar="NAMES",
    help="What makes a group: params.dt,model; variant; everything (all but the seed).",
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="main, or a metric; may be repeated."
)
@click.option(
    "--better", type=click.Choice(["higher", "lower"]), help="Which end of the metric is the good one."
)
@sample.options
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@tables.export_options("a line for each metric and group")
@locate.store_option
def command(
    by: tuple[str, ...], metrics: tuple[str, ...], better: str | None, as_json: bool, as_csv: bool,
    parquet: Path | None, url: str | None, **wanted: Any,
) -> int:  # fmt: skip
    """Compare groups of trials over their seeds: means, 95 % intervals, and every pair's difference."""
    other = tables.one_form(as_json, as_csv, parquet)
    names = sample.names(by) or ("variant",)
    with locate.opened(url) as store:
        found = sample.choose(store, wanted, names)
        if found is None and not other:
            select.nothing(store, wanted)
            return 0
        trials = found.selection.counted if found is not None else ()
        floors = {metric: _floor(store, trials, metric) for metric in metrics or ("main",)}
    most = None if as_json else _ALL_PAIRS  # a pair takes SciPy a moment, and hundreds are not read
    every = [
        compare.compare(trials, metric, names, most, better == "lower") for metric in metrics or ("main",)
    ]
    _there(metrics, trials)
    if as_json:
        answers.emit(_document(every, found))
        return 0
    if as_csv or parquet:
        export.write(_frame(every), parquet)
        return 0
    assert found is not None
    with tables.paged():
        for number, comparison in enumerate(every):
            lines = [*_told(comparison, found, names, better or ""), *_repeats(floors[comparison.metric])]
            print("\n".join(["", *lines] if number else lines))
    tables.hint(_next(every[0], names))
    return 0


def _floor(store: Store | None, trials: Sequence[Summary], metric: str) -> float:
    """The most that repeats with one seed differ by through chance alone, of the first few recipes."""
    newest = {(t.param_set, t.code_identity): t.id for t in reversed(trials)}
    if store is None:
        return 0.0
    latest = [store.get(i) for i in list(newest.values())[:_ALL_PAIRS]]
    return max((noise.noise_of(store, trial, metric).floor for trial in latest), default=0.0)


def _repeats(floor: float) -> Iterator[str]:
    if floor:
        yield f"repeats with the same seed alone differ by up to {text.number(floor)}: mitosis noise ID"


def _there(metrics: Sequence[str], trials: Sequence[Summary]) -> None:
    """Refuse a metric that none of the trials has: it is mistyped."""
    names = sorted({name for trial in trials for name in trial.metrics})
    odd = [name for name in metrics if name != "main" and name not in names]
    if odd and trials:
        known = ", ".join(["main", *names[:20]])
        raise SelectionRefused(f"no trial has the metric {text.safe(odd[0])}", f"there are: {known}")


def _document(every: Sequence[compare.Comparison], found: sample.Sample | None) -> JSON:
    first = every[0]
    document = _plain(first)
    document["left_out"] = sample.left_out(found.selection, first.without) if found is not None else {}
    if len(every) > 1:
        document["metrics"] = {comparison.metric: _plain(comparison) for comparison in every}
    return document


def _frame(every: Sequence[compare.Comparison]) -> Frame:
    """The groups of each metric, under the names that they have in the JSON."""
    rows = ((one.metric, *_group(group).values()) for one in every for group in one.groups)
    return Frame(("metric", *_KEYS), tuple(rows))


def _group(group: compare.Group) -> dict[str, JSON]:
    s = group.statistics
    values = (group.label, s.n, s.mean, s.std, s.ci_low, s.ci_high, s.min, s.max)
    return dict(zip(_KEYS, values, strict=True))


def _plain(comparison: compare.Comparison) -> dict[str, JSON]:
    groups = [_group(group) for group in comparison.groups]
    pairs = [
        {
            "a": pair.a,
            "b": pair.b,
            "difference": pair.difference,
            "ci_low": pair.ci_low,
            "ci_high": pair.ci_high,
            "paired": pair.paired,
            "within_chance": pair.within_chance,
        }
        for pair in comparison.pairs
    ]
    return {"groups": groups, "pairs": pairs}


def _told(
    comparison: compare.Comparison, found: sample.Sample, by: Sequence[str], better: str
) -> Iterator[str]:
    metric, experiment = text.safe(comparison.metric), text.safe(found.experiment)
    yield f"{experiment}: {metric} by {text.safe(', '.join(by))}, over the seeds"
    yield ""
    sign = 1 if better == "lower" else -1
    groups = sorted(comparison.groups, key=lambda g: sign * g.statistics.mean)
    if groups:
        columns = ["group", "n", "mean", "std", "95 % interval of the mean", "min", "max"]
        rows = [_row(group) for group in groups]
        yield from tables.plain(columns, rows, right=("n", "mean", "std", "min", "max"))
        yield ""
    yield from _verdicts(comparison, groups, metric, better)
    if len(groups) > 1 and not better:
        yield "where lower is better: --better lower"
    yield ""
    counts = sample.left_out(found.selection, comparison.without)
    counted = found.selection.counted
    yield sample.told(counts, len(counted) - len(comparison.without), counted[0] if counted else None)
    if found.others:
        yield f"other experiments are not in it (--experiment): {text.safe(', '.join(found.others))}"


def _row(group: compare.Group) -> list[str]:
    s = group.statistics
    interval = "-" if s.ci_low is None else f"{text.number(s.ci_low)} to {text.number(s.ci_high)}"
    numbers = [text.number(v) for v in (s.mean, s.std)]
    return [text.safe(group.label), str(s.n), *numbers, interval, text.number(s.min), text.number(s.max)]


def _verdicts(
    comparison: compare.Comparison, groups: Sequence[compare.Group], metric: str, better: str
) -> Iterator[str]:
    """Every pair in words, the one with the better (or higher) mean first."""
    if not groups:
        yield f"no trial with a number {metric}: there is nothing to compare"
        return
    if len(groups) == 1:
        yield f"one group: there is nothing to compare it with; {_seeds_said(groups[0])}"
        return
    rank = {group.label: place for place, group in enumerate(groups)}
    pairs = sorted(comparison.pairs, key=lambda p: sorted((rank[p.a], rank[p.b])))
    shown = pairs if len(groups) <= _ALL_PAIRS else pairs[:_NEAREST]
    number = len(groups) * (len(groups) - 1) // 2
    word = {"higher": "better", "lower": "better (lower)"}.get(better, "higher")
    for pair in shown:
        yield from _verdict(pair, rank, word, comparison)
    if len(shown) < number:
        yield f"({number - len(shown)} more pairs: --json)"
    if number > 2:
        expected = f"{number} pairs: of every 20 with no difference at all, one looks different by chance"
        yield expected


def _verdict(
    pair: compare.Pair, rank: dict[str, int], word: str, comparison: compare.Comparison
) -> Iterator[str]:
    first, second = sorted((pair.a, pair.b), key=lambda label: rank[label])
    if pair.within_chance is None:
        few = [g.label for g in comparison.groups if g.label in (first, second) and len(g.by_seed()) < 2]
        what = (
            f"one seed only for {' and '.join(few)}: run more seeds" if few else "the numbers are too large"
        )
        yield f"{text.safe(first)} and {text.safe(second)}: nothing can be said, {text.safe(what)}"
        return
    size, ends = abs(pair.difference), [pair.ci_low or 0.0, pair.ci_high or 0.0]
    if pair.difference < 0:
        ends = [-ends[1], -ends[0]]
    method = f"{compare.PAIRED}, {pair.seeds[0]} shared seeds"
    if not pair.paired:
        method = f"{compare.WELCH}, {pair.seeds[0]} and {pair.seeds[1]} seeds"
    if size == 0:
        yield f"{text.safe(first)} and {text.safe(second)} are equal"
    else:
        yield f"{text.safe(first)} is {word} than {text.safe(second)} by {text.number(size)}"
    yield f"  95 % interval of the difference {text.number(ends[0])} to {text.number(ends[1])} ({method})"
    if pair.within_chance:
        yield "  the seeds alone could explain it: the interval holds 0"
    else:
        yield "  the seeds alone do not explain it: the interval does not hold 0"


def _seeds_said(group: compare.Group) -> str:
    seeds = len(group.by_seed())
    return f"{seeds} seeds" if seeds > 1 else "and one seed says nothing of its spread: run more seeds"


def _next(comparison: compare.Comparison, by: Sequence[str]) -> str:
    if not comparison.groups:
        return "mitosis ls"
    option = "" if tuple(by) == ("variant",) else f" --by {','.join(by)}"
    return f"mitosis plot {text.safe(comparison.metric)}{text.safe(option)}"
