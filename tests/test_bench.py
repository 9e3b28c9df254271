"""Tests of the benchmark's harness: what it computes, what it shows, and that it runs on small sizes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitosis.store import Query, Store
from mitosis.trial import Status
from tests.bench import __main__ as bench
from tests.bench import fill, page
from tests.bench.measure import Cost, Pair, Result, Row, Sides, Skip, measure, process
from tests.bench.place import Place
from tests.bench.sweep import more

TOP = Path(__file__).resolve().parents[1]


def row(ours: list[float], theirs: list[float], told: list[str] | None = None, goal: float = 1.0) -> Row:
    """A row whose measurements are given; `told` hears which side is measured."""
    heard = told if told is not None else []

    def give(values: Iterator[float], name: str) -> Cost:
        heard.append(name)
        return Cost(next(values), cpu=2.0)

    @contextlib.contextmanager
    def prepare(place: Place) -> Iterator[Sides]:
        left, right = iter(ours), iter(theirs)
        yield Sides(lambda: give(left, "ours"), lambda: give(right, "theirs"))

    return Row("made-up", "a thing | of ours", "another", goal, prepare, warm=False)


def test_the_ratio_is_the_median_of_the_pairs(tmp_path: Path) -> None:
    """The median of the ratios, not the ratio of the medians; with the least and the greatest."""
    result = measure(row([1, 2, 30], [2, 2, 10]), Place(tmp_path), pairs=3)
    assert [p.ratio for p in result.pairs] == [0.5, 1.0, 3.0]
    assert result.ratio == 1.0 and result.span == (0.5, 3.0) and result.cpu_ratio == 1.0
    document = result.document()
    assert (document["ours"], document["theirs"]) == (2, 2)
    assert document["pairs"][2] == {"ours": {"value": 30, "cpu": 2.0}, "theirs": {"value": 10, "cpu": 2.0}}


def test_the_pairs_alternate(tmp_path: Path) -> None:
    """Either side goes first in every second pair, and five pairs are the least where nothing is said."""
    told: list[str] = []
    result = measure(row([1] * 5, [1] * 5, told), Place(tmp_path))
    assert len(result.pairs) == 5
    assert told[:4] == ["ours", "theirs", "theirs", "ours"]


@pytest.mark.parametrize(
    ("goal", "accepted", "met"),
    [(1.0, None, False), (1.0, 1.2, True), (1.2, None, True)],
)
def test_a_goal_is_met_or_not(goal: float, accepted: float | None, met: bool, tmp_path: Path) -> None:
    """By the goal, or by the larger ratio that is accepted instead."""
    asked = Row("made-up", "", "", goal, row([], []).prepare, accepted=accepted)
    assert Result(asked, (Pair(Cost(1.1), Cost(1.0)),)).met is met


def test_what_one_more_trial_costs() -> None:
    """The difference of two sweeps, divided by how many trials the longer one has more."""
    assert more(Cost(60.0, 30.0), Cost(15.0, 12.0), 45) == Cost(1.0, 0.4)


def test_the_cost_of_a_process_counts_what_it_leaves_behind(tmp_path: Path) -> None:
    """CPU time of a child that outlives its parent is counted, and it has ended afterwards."""
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    cost = process(["sh", "-c", f"'{sys.executable}' -c '{burn}' >/dev/null 2>&1 & exit 0"], tmp_path)
    assert cost.cpu is not None and cost.cpu >= 0.3
    with pytest.raises(Skip, match=r"ended with 3: sorry"):
        process(["sh", "-c", "echo sorry; exit 3"], tmp_path)


def test_the_page_is_rendered_and_its_profiles_stay(tmp_path: Path) -> None:
    """The table is new each time; what was written by hand between the markers is kept letter for letter."""
    rows = [measure(row([3, 3, 3], [2, 2, 2]), Place(tmp_path), pairs=3).document()]
    rows.append({**rows[0], "name": "absent-row", "skipped": "it is not installed\nTraceback"})
    first = page.render("", rows, page.machine())
    assert "| **1.50** (not reached) | 1.50 to 1.50 | 1.00 | 3.00 s | 2.00 s |" in first
    assert "Not measured, absent-row: it is not installed." in first
    written = first.replace(page.END, f"## Profile\n\n| a | `b` |\n{page.END}")
    again = page.render(written, rows[:1], page.machine())
    assert "## Profile\n\n| a | `b` |\n" in again and "absent-row" not in again
    assert page.render(again, rows[:1], page.machine()) == again
    assert "made-up" in page.text(rows) and "NOT MET" in page.text(rows)


def test_rows_of_earlier_runs_stay() -> None:
    """`--only` replaces some rows; the others are those of the run before, in the order of the table."""
    old, new = [{"name": "a", "n": 1}, {"name": "b", "n": 1}, {"name": "gone"}], [{"name": "b", "n": 2}]
    assert page.merged(old, new, ("b", "a")) == [{"name": "b", "n": 2}, {"name": "a", "n": 1}]


def test_every_row_has_a_name_of_its_own() -> None:
    """And at least five pairs."""
    assert len(set(bench.NAMES)) == len(bench.ROWS)
    assert all(r.pairs >= 5 for r in bench.ROWS)


def test_a_filled_store_is_a_store(tmp_path: Path) -> None:
    """What is filled in bulk is read by the store like what it wrote itself."""
    fill.fill(tmp_path / "filled.db", 300)
    with Store.open(tmp_path / "filled.db") as store:
        found = store.find(Query())
        assert len(found) == 300 + 3 * len(fill.PROJECTS)
        counts = store.count(Query())
        assert counts[Status.RUNNING] == len(fill.PROJECTS) and counts[Status.SUCCEEDED] > 250
        for summary in found[:60]:
            assert store.get(summary.id).spec.folder == summary.folder
        assert store.find(Query(project=fill.PROJECTS[0], limit=20)) != []
        spec = fill.spec(7)
        assert store.finish(store.start(spec, {}).id, fill.outcome())


def test_the_command_measures_prints_and_writes(tmp_path: Path) -> None:
    """`--quick --only` measures small sizes of some rows, prints their table, and writes JSON and page."""
    results, rendered = tmp_path / "results.json", tmp_path / "performance.md"
    words = ["--quick", "--only", "input-first", "gate", "--json", str(results), "--page", str(rendered)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", *words],
        cwd=TOP,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONWARNINGS": ""},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(results.read_text())
    assert [r["name"] for r in document["rows"]] == ["gate", "input-first"]
    assert all(r["ratio"] > 0 and r["ours"] > 0 and len(r["pairs"]) == 1 for r in document["rows"])
    assert document["machine"]["cores"] and "| the gate in a repository" in rendered.read_text()
    assert "input-first" in done.stdout
    assert list(tmp_path.glob("mitosis-bench-*")) == []


def test_noise_meets_no_goal(tmp_path: Path) -> None:
    """What costs less than nothing was not measured: the row is not met, whatever the ratio."""
    result = measure(row([-2.0], [-4.0]), Place(tmp_path), pairs=1)
    assert result.ratio == 0.5 and not result.met
