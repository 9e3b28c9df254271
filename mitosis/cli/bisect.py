"""`mitosis bisect`: the first commit between two trials at which a number leaves its tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitosis import differences
from mitosis.cli import answers, bench, export, locate, tables, text
from mitosis.frame import Frame

if TYPE_CHECKING:
    from mitosis.again.bisect import Answer, Run
    from mitosis.again.recorded import Bench
    from mitosis.trial import Trial


@click.command()
@click.argument("good")
@click.argument("bad")
@click.option("--metric", default="main", show_default=True, help="The metric that is looked at.")
@click.option("--tolerance", type=click.FloatRange(0), help="Largest distance from GOOD; default: its noise.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Seeds for each commit.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Commits at a time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@tables.export_options("a line for each commit that was looked at")
@locate.store_option
def command(
    good: str, bad: str, metric: str, tolerance: float | None, seeds: int, jobs: int, as_json: bool,
    as_csv: bool, parquet: Path | None, url: str | None,
) -> int:  # fmt: skip
    """Find the first commit after trial GOOD, up to trial BAD, at which the number is no longer GOOD's."""
    tables.one_form(as_json, as_csv, parquet)
    from mitosis.again import bisect
    from mitosis.notebook import forking

    with locate.required(url, good) as store:
        project = locate.scope(url)
        old, new = store.get(good, project), store.get(bad, project)
        place = bench.opened(store, new, url)
        asked = bisect.question(store, old, metric, tolerance, seeds)
    forking.prestart(place.repository)
    found = bisect.bisect(place, old, new, asked, bench.Steps(), jobs, forking.stop)
    told = _Told(place, found)
    if as_json:
        answers.emit(_document(found, told))
    elif as_csv or parquet:
        export.write(_frame(found), parquet)
    else:
        print("\n".join(_lines(found, told)))
        tables.hint(_next(old, new, found))
    return 0


class _Told:
    """What git says of the culprit: who, when, what for, and the lines that it changed."""

    def __init__(self, place: Bench, found: Answer) -> None:
        from mitosis.capture import history, synthesis

        self.commit = history.told(place.repository, found.commit) if found.commit else None
        self.message = history.message(place.repository, found.commit) if found.commit else None
        self.patch: str | None = None
        above = history.parents(place.repository, found.commit) if found.commit else ()
        if found.commit and above:
            paths = set(synthesis.changed(place.repository, above[0], found.commit))
            known = {
                path
                for run in found.runs
                for trial in run.trials
                for path in (*differences.loaded(trial), *differences.read(trial))
            }
            chosen = sorted(paths & known) or sorted(paths)
            self.patch = history.patch(place.repository, above[0], found.commit, chosen) if chosen else ""


def _lines(found: Answer, told: _Told) -> Iterator[str]:
    asked = found.question
    shown = text.number(asked.good)
    yield f"good: {text.safe(asked.metric)}={shown}, tolerance {text.number(asked.tolerance)}"
    for run in found.runs:
        yield f"  {run.commit[:7]}  {_said(run)}"
    skipped = sum(run.verdict == "skipped" for run in found.runs)
    yield f"{found.length} commits, {found.started} run, {skipped} could not run"
    yield ""
    if found.uncommitted:
        yield "no commit made the change: it lies in what was not committed, in these snapshots:"
        yield from (f"  {commit}" for commit in found.candidates)
        return
    if found.commit is None:
        yield "the first bad commit is one of these, of which only the last could run:"
        yield from (f"  {commit}" for commit in found.candidates)
        return
    yield f"first bad commit: {found.commit}"
    if found.parted:
        yield "there the two lines of history parted: the good number was made later, on the other line"
    if told.commit is not None:
        yield f"{text.safe(told.commit.author)}, {text.local(told.commit.at)}"
    yield from ("", *(f"    {line}" for line in text.safe_lines(told.message or "")), "")
    if told.patch:
        yield from text.safe_lines(told.patch.replace("\t", "    "))


def _next(good: Trial, bad: Trial, found: Answer) -> str:
    """The page of a trial of the culprit; where no commit is known, what lies between the two that are."""
    culprit = next((t for run in found.runs if run.commit == found.commit for t in run.trials), None)
    return f"mitosis show {culprit.id}" if culprit is not None else f"mitosis diff {good.id} {bad.id} --patch"


def _said(run: Run) -> str:
    if run.value is None:
        return f"skipped  {text.safe(run.reason)}"
    by = run.trials[0].id if run.trials else ""
    return f"{run.verdict:<7}  {text.number(run.value)}  {by}{'' if run.started else ' (recorded)'}"


def _frame(found: Answer) -> Frame:
    """A row for each commit, in the order in which they were run."""
    rows = (
        (run.commit, run.commit == found.commit, run.verdict, run.value, [t.id for t in run.trials],
         run.started, run.reason)
        for run in found.runs
    )  # fmt: skip
    names = ("commit", "first_bad", "verdict", "value", "trials", "started", "reason")
    return Frame(names, tuple(rows))


def _document(found: Answer, told: _Told) -> dict[str, object]:
    return {
        "commit": found.commit,
        "candidates": list(found.candidates),
        "author": told.commit.author if told.commit is not None else None,
        "at": told.commit.at if told.commit is not None else None,
        "message": told.message,
        "patch": told.patch,
        "metric": found.question.metric,
        "good": found.question.good,
        "tolerance": found.question.tolerance,
        "length": found.length,
        "parted": found.parted,
        "uncommitted": found.uncommitted,
        "started": found.started,
        "runs": [
            {
                "commit": run.commit,
                "verdict": run.verdict,
                "value": run.value,
                "trials": [t.id for t in run.trials],
                "started": run.started,
                "reason": run.reason,
            }
            for run in found.runs
        ],
    }
