"""Pictures of statistics and series: their numbers are those of `compare`, and every format is whole."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mitosis import charts, compare, looks, series, stamp
from mitosis.cli import plot
from mitosis.errors import Refused
from mitosis.store import Store
from mitosis.trial import ModuleRecord, Summary
from tests import store_values
from tests.test_compare import summary


def swept() -> list[Summary]:
    """Two models by three values of dt by four seeds."""
    return [
        summary(
            100 * m + 10 * d + seed, f"digits,model={model}+dt={dt}", main=m + d + seed / 10, seed=seed,
            params=json.dumps({"dt": dt, "name": "ab"[m]}), param_set=f"{m}{d}", metrics={"loss": float(d)},
        )
        for m, model in enumerate(("svm", "</script><script>alert(1)//"))
        for d, dt in enumerate((0.001, 0.01, 0.1))
        for seed in range(4)
    ]  # fmt: skip


def rows_of(chart: Any) -> list[dict[str, Any]]:
    """The rows of the layer that holds the means."""
    tables = tables_of(chart)
    return next((t for t in tables if "mean" in t[0]), tables[0])


def tables_of(chart: Any) -> list[list[dict[str, Any]]]:
    """The rows of each layer that has its own."""
    spec = chart.to_dict()
    layers = [layer for layer in (spec, *spec.get("layer", ())) if "data" in layer]
    return [spec["datasets"][layer["data"]["name"]] for layer in layers]


def test_many_trials_are_dots_no_more_than_a_few_hundred() -> None:
    """Each place keeps its share, the intervals are of all, and the subtitle says so; values stand alone."""
    many = [
        summary(n, "ab"[n % 2], main=float(n), seed=n, params="{}", param_set=str(n % 2)) for n in range(2400)
    ]
    chart = charts.of_metric("toy", many, charts.Wanted(by=("params",)))
    spec = chart.to_dict()
    dots, intervals = tables_of(chart)[:2]
    assert len(dots) == 400 and [sum(row["place"] == place for row in dots) for place in "ab"] == [200, 200]
    assert [(row["place"], row["n"]) for row in intervals] == [("a", 1200), ("b", 1200)]
    assert spec["title"]["subtitle"].endswith("2400 trials, one of every 6 as a dot")
    assert spec["title"]["text"] == "toy: main by params"


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        (charts.Wanted(), "points"),
        (charts.Wanted(x="params.dt"), "line"),
        (charts.Wanted(x="params.dt", by=("model",)), "line"),
        (charts.Wanted(x="model", by=("params.dt",)), "points"),
        (charts.Wanted(x="metrics.loss"), "scatter"),
        (charts.Wanted(x="params.dt", y="model"), "heat"),
    ],
)
def test_the_kind_that_fits(wanted: charts.Wanted, kind: str) -> None:
    """A line along a swept number, points along anything else, a scatter along a measured one, a heat map."""
    assert charts.chosen_kind(swept(), wanted) == kind
    charts.of_metric("digits", swept(), wanted).to_dict()


@pytest.mark.parametrize("kind", ["line", "points", "bars"])
def test_means_and_intervals_are_those_of_compare(kind: str) -> None:
    """Each row has the mean and the ends of the interval that `compare` gives for the same group."""
    wanted = charts.Wanted(x="params.dt", by=("model",), kind=kind)
    expected = [g.statistics for g in compare.compare(swept(), by=("params.dt", "model")).groups]
    rows = rows_of(charts.of_metric("digits", swept(), wanted))
    found = [(r["mean"], r["low"], r["high"], r["n"]) for r in rows]
    assert found == [(s.mean, s.ci_low, s.ci_high, s.n) for s in expected]


def test_one_seed_draws_no_band() -> None:
    """A group of one trial is a dot: it has no interval."""
    (row,) = rows_of(charts.of_metric("digits", swept()[:1], charts.Wanted(kind="bars")))
    assert row["mean"] == 0.0 and row["low"] is row["high"] is None


@pytest.mark.parametrize(
    "wanted",
    [
        charts.Wanted(x="params.nothing"),
        charts.Wanted(metric="nothing"),
        charts.Wanted(kind="line"),
        charts.Wanted(x="model", kind="line"),
        charts.Wanted(x="model", kind="heat"),
        charts.Wanted(x="params.dt", y="model", kind="bars"),
        charts.Wanted(x="params.dt", y="model", by=("model",)),
    ],
)
def test_what_cannot_be_drawn_is_refused(wanted: charts.Wanted) -> None:
    """With what to do instead."""
    with pytest.raises(Refused, match=r"\n"):
        charts.of_metric("digits", swept(), wanted)


@pytest.mark.parametrize("kind", looks.FORMATS)
def test_every_format_is_whole_and_takes_the_marks(kind: str) -> None:
    """The file is of its format, carries the mark of each trial, and loads nothing."""
    trials = [dataclasses.replace(t, param_set="d" * 64) for t in swept()]
    marks = [stamp.origin(t) for t in trials]
    chart = charts.of_metric("digits", trials, charts.Wanted(x="params.dt", by=("model",)))
    content = stamp.stamped(looks.rendered(chart, kind), marks)
    begins = {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF", "html": b"<!DOCTYPE html>"}
    assert content.startswith(begins[kind]) and stamp.origins(content) == tuple(marks)
    if kind == "html":
        text = content.decode()
        assert not re.search(r"<(script|link|img)[^>]*(src|href)=", text[-20_000:] + text[:20_000])
        assert "<script>alert(1)" not in text and "alert(1)" in text
        assert '"width": "container"' in text and 'name="viewport"' in text  # readable on a phone


def test_a_series_is_a_line_for_each_trial() -> None:
    """Steps along, values up, nan a gap; coloured by trial or by group."""
    one = series.Series("loss", (0, 1, 2), (1.0, float("nan"), 0.5))
    pairs = [(t, one) for t in swept()[::12]]
    (rows,) = tables_of(charts.of_series("loss", pairs, ("model",)))
    assert len(rows) == 6 and rows[1]["value"] is None and rows[0]["group"] == "svm"
    assert len({r["group"] for r in tables_of(charts.of_series("loss", pairs))[0]}) == 2


def _store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/mitosis.db"
    with Store.open(url) as store:
        for number in range(4):
            folder = tmp_path / f"{number:012x}"
            (folder / "series").mkdir(parents=True)
            (folder / "series" / "log.jsonl").write_text('{"step": 1, "values": {"loss": 2.0}}\n' * 3)
            spec = store_values.trial_spec(number, folder=str(folder), seed=number, tags=())
            store.start(spec, store_values.ENVIRONMENT)
            module = ModuleRecord("run", "run.py", "b" * 40, "commit")
            outcome = store_values.trial_outcome(
                main=number / 2, taints=(), modules=(module,), code_identity="1" * 64
            )
            store.finish(spec.id, outcome)
    return url


def _plot(*words: str) -> str:
    return CliRunner().invoke(plot.command, words, catch_exceptions=False, standalone_mode=False).stdout


def test_the_command_writes_where_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With -o there, without it in the root's plots/; a logged series likewise; another ending is refused."""
    monkeypatch.chdir(tmp_path)
    url = _store(tmp_path)
    options = ["--store", url, "--all-projects"]
    assert _plot("main", *options, "-o", "a.svg") == "a.svg\n"
    assert len(stamp.origins(Path("a.svg").read_bytes())) == 4
    default = Path(_plot(*options, "--x", "seed").strip())
    assert default == tmp_path / "plots" / "lorenz-main-seed.png" and default.stat().st_size > 1000
    assert _plot("--series", "loss", *options, "-o", "s.svg") == "s.svg\n"
    assert _plot("--series", "loss", "000000000002", *options, "-o", "t.svg") == "t.svg\n"
    assert [o.trial for o in stamp.origins(Path("t.svg").read_bytes())] == ["000000000002"]
    for words in (["-o", "a.gif"], ["a", "b"], ["--series", "x"], ["--series", "loss", "--x", "seed"]):
        with pytest.raises(Refused):
            _plot(*words, *options)
