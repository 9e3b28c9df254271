"""`mitosis noise`: how much a number varies with the same seed, and from seed to seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitosis.cli import answers, bench, export, locate, tables, text
from mitosis.frame import Frame
from mitosis.trial import Trial

if TYPE_CHECKING:
    from mitosis.again.measure import Measured
    from mitosis.again.noise import Noise, Spread


@click.command()
@click.argument("trial")
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Values with the trial's own seed.",
)
@click.option(
    "--seeds", type=click.IntRange(0), default=5, show_default=True, help="Seeds, the trial's own included."
)
@click.option("--metric", default="main", show_default=True, help="The metric that is shown.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@tables.export_options("a line for the same seed, one for several")
@locate.store_option
def command(
    trial: str, repeats: int, seeds: int, metric: str, as_json: bool, as_csv: bool, parquet: Path | None,
    url: str | None,
) -> int:  # fmt: skip
    """Measure how much the recipe of TRIAL varies; trials that are recorded already are not run again."""
    tables.one_form(as_json, as_csv, parquet)
    from mitosis.again import measure
    from mitosis.notebook import forking

    with locate.required(url, trial) as store:
        found = store.get(trial, locate.scope(url))
        place = bench.opened(store, found, url)
        wanted = measure.missing(store, found, repeats, seeds)
        if wanted:
            forking.prestart(place.repository)
        steps = bench.Steps(len(wanted))
        done = measure.measure(store, place, found, wanted, metric, lambda: steps)
    if as_json:
        from mitosis.again import noise

        answers.emit({"of": found.id, **noise.document(done.noise), "ran": [t.id for t in done.ran]})
    elif as_csv or parquet:
        export.write(_frame(found, done.noise), parquet)
    else:
        print("\n".join(_lines(found, done)))
        tables.hint(f"mitosis show {done.ran[-1].id if done.failed else found.id}")
    return 2 if done.failed else 0


def _lines(trial: Trial, done: Measured) -> Iterator[str]:
    noise = done.noise
    if done.failed:
        last = done.ran[-1]
        yield f"no repeat of {trial.id} succeeded: {last.id} {last.status.value}"
        return
    rows = [[name, str(spread.n), *_numbers(spread)] for name, spread in _spreads(noise)]
    if not rows:
        name = text.safe(noise.metric)
        yield f"fewer than two of these trials have a finite number {name}: nothing varies"
        return
    columns = [noise.metric, "n", "mean", "std", "min", "max"]
    yield from tables.plain(columns, rows, right=tuple(columns[1:]))
    yield said(noise)
    if done.note is not None:
        yield f"note {done.note.kind}: {text.safe(done.note.what)}"


def _spreads(noise: Noise) -> Iterator[tuple[str, Spread]]:
    for name, spread in (("same seed", noise.repeats), ("from seed to seed", noise.seeds)):
        if spread is not None:
            yield name, spread


def _frame(trial: Trial, noise: Noise) -> Frame:
    rows = ((trial.id, noise.metric, name, s.n, s.mean, s.std, s.min, s.max) for name, s in _spreads(noise))
    return Frame(("of", "metric", "spread", "n", "mean", "std", "min", "max"), tuple(rows))


def said(noise: Noise) -> str:
    """The noise in one sentence."""
    if noise.repeats is None:
        return "how much repeats differ is not known"
    if not noise.repeats.std:
        first = f"{noise.repeats.n} repeats with the same seed gave the same {noise.metric}"
    else:
        n = noise.repeats.n
        first = f"by chance alone two trials with the same seed differ by up to {text.number(noise.floor)}"
        first += f" (95 %, from {n} repeats)"
    if noise.seeds is None or math.isclose(noise.chance, noise.floor):
        return first
    chance = text.number(noise.chance)
    return f"{first}; with different seeds by up to {chance} (95 %, from {noise.seeds.n} seeds)"


def _numbers(spread: Spread) -> list[str]:
    return [text.number(v) for v in (spread.mean, spread.std, spread.min, spread.max)]
