"""Statistics over trials: the numbers are SciPy's and pandas', and only what may be mixed is mixed."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mitosis import compare, groups
from mitosis.cli import compare as command
from mitosis.cli import ls as listing
from mitosis.errors import Refused
from mitosis.store import Store
from mitosis.trial import ModuleRecord, Remark, Status, Summary
from tests import store_values

FINITE = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 6))


def summary(number: int, variant: str = "fast", **changes: Any) -> Summary:
    made = Summary(
        id=f"{number:012x}", project="p", experiment="lorenz", variant=variant, params='{"dt":0.1}',
        param_set=f"set of {variant}", seed=number, status=Status.SUCCEEDED, main=float(number), metrics={},
        commit="c" * 40, branch=None, dirty=False, started_at=store_values.at(number), seconds=1.0,
        cpu_seconds=1.0, sweep=None, job=None, folder="/f", code_identity="id",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def one_file(trial: Summary) -> dict[str, str]:
    return {"code.py": trial.code_identity}


def numbers(values: list[float], variant: str, first_seed: int = 0) -> list[Summary]:
    return [summary(i, variant, main=v, seed=first_seed + i) for i, v in enumerate(values)]


# --- statistics -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)  # the first one imports SciPy
@given(st.lists(FINITE, min_size=2, max_size=30))
def test_a_groups_statistics_are_scipys_and_pandas(values: list[float]) -> None:
    """n, mean, std, interval, min and max equal what SciPy and pandas give for the same numbers."""
    found = compare.describe(values)
    series = pd.Series(values)
    assert found.n == len(values) and (found.min, found.max) == (series.min(), series.max())
    assert found.min <= found.mean <= found.max
    assert found.mean == pytest.approx(series.mean(), abs=1e-9)
    assert found.std == pytest.approx(series.std(), abs=1e-9)
    if series.nunique() > 1:
        expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (found.ci_low, found.ci_high) == pytest.approx(expected, abs=1e-6)
    else:
        assert found.ci_low == found.ci_high == values[0] == found.mean


@settings(deadline=None, max_examples=50)
@given(
    st.lists(FINITE, min_size=2, max_size=12), st.lists(FINITE, min_size=2, max_size=12), st.integers(0, 14)
)
def test_a_pairs_difference_is_scipys(a: list[float], b: list[float], shift: int) -> None:
    """A paired t-test over two or more shared seeds, Welch's over all seeds otherwise; turned, it turns."""
    groups_ = compare.compare([*numbers(a, "a"), *numbers(b, "b", shift)]).groups
    found = compare.pair(*groups_)
    shared = range(shift, min(len(a), shift + len(b)))
    assert found.paired == (len(shared) >= 2)
    x, y = ([a[s] for s in shared], [b[s - shift] for s in shared]) if found.paired else (a, b)
    assert found.difference == pytest.approx(np.mean(x) - np.mean(y), abs=1e-6)
    spread = np.subtract(x, y) if found.paired else np.array([np.ptp(x), np.ptp(y)])
    if np.ptp(spread) > 1e-3 or (not found.paired and spread.max() > 1e-3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numbers that are nearly equal
            test = stats.ttest_rel(x, y) if found.paired else stats.ttest_ind(x, y, equal_var=False)
        interval = test.confidence_interval(0.95)
        assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high), abs=1e-4)
    assert found.within_chance == (found.ci_low <= 0 <= found.ci_high)
    turned = compare.pair(*reversed(groups_))
    assert turned.difference == pytest.approx(-found.difference, abs=1e-9)
    assert turned.within_chance == found.within_chance


def test_numbers_whose_sum_no_float_holds() -> None:
    """Trials of one seed have a mean; an interval that no float holds is none, and says nothing."""
    large = [*numbers([1.7e308], "a"), *numbers([1.6e308], "a"), *numbers([1.7e308], "a", 1)]
    (group,) = compare.compare(large).groups
    assert group.by_seed()[0] == pytest.approx(1.65e308)
    apart = compare.compare([*numbers([1.7e308] * 2, "a"), *numbers([-1.7e308] * 2, "b")])
    assert (apart.pairs[0].ci_low, apart.pairs[0].within_chance) == (None, None)


def test_one_number_says_nothing_of_a_spread() -> None:
    """n = 1 gives no std and no interval, and its pairs say that nothing can be said."""
    found = compare.compare([*numbers([1.0], "a"), *numbers([2.0, 3.0], "b")])
    assert found.groups[0].statistics == compare.Statistics(1, 1.0, None, None, None, 1.0, 1.0)
    assert found.pairs[0].within_chance is None and found.pairs[0].ci_low is None
    assert found.pairs[0].difference == -1.5


@pytest.mark.parametrize("shift", [0, 100])
@pytest.mark.parametrize(("b", "within"), [(2.0, False), (1.0, True)])
def test_no_spread_gives_an_interval_without_width(shift: int, b: float, within: bool) -> None:
    """Numbers that do not depend on the seed differ, or they do not: paired and unpaired."""
    pair = compare.compare([*numbers([1.0] * 3, "a"), *numbers([b] * 3, "b", shift)]).pairs[0]
    assert (pair.ci_low, pair.ci_high, pair.within_chance) == (1 - b, 1 - b, within)


def test_numbers_beyond_floats_have_no_interval() -> None:
    """A spread that no float holds is null, not nan, and no warning is left."""
    found = compare.compare([*numbers([1e200, -1e200], "a"), *numbers([1e200, 0.0], "b")])
    assert found.groups[0].statistics.ci_low is None and found.pairs[0].within_chance is None


def test_what_is_repeated_is_the_seed() -> None:
    """Where a seed has several trials in a group, their mean stands for it."""
    a = [
        summary(
            i, main=float(i), seed=i % 2, params=f'{{"dt":{i}}}', param_set=str(i), variant=f"a,m=x+dt={i}"
        )
        for i in range(6)
    ]
    b = [dataclasses.replace(t, variant=t.variant.replace("x", "y"), main=t.main + 10 + t.seed) for t in a]
    found = compare.compare([*a, *b], by=("m",))
    assert [g.statistics.n for g in found.groups] == [6, 6]
    assert found.pairs[0].seeds == (2, 2) and found.pairs[0].difference == -10.5


def test_of_many_groups_the_first_is_compared_with_the_others() -> None:
    """Where not every pair is wanted, the pairs are those of the highest mean, or of the lowest."""
    trials = [t for v in "abcde" for t in numbers([ord(v) * 1.0, ord(v) + 1.0], v)]
    assert len(compare.compare(trials).pairs) == 10 == len(compare.compare(trials, most=5).pairs)
    assert {(p.a, p.b) for p in compare.compare(trials, most=4).pairs} == {("e", v) for v in "abcd"}
    assert {p.a for p in compare.compare(trials, most=4, lowest=True).pairs} == {"a"}


# --- groups ---------------------------------------------------------------------------------------


def test_groups_are_named_as_asked() -> None:
    """By a parameter, by a group's choice, by the label; numbers in their order, texts behind."""
    trials = [
        summary(i, f'digits,model={model},opt="a,b"', params=json.dumps({"dt": dt, "net": {"k": [1, i]}}))
        for i, (model, dt) in enumerate([("svm", 10), ("svm", 9), ("forest", 10)])
    ]
    labels = [g.label for g in compare.compare(trials, by=("params.dt", "model")).groups]
    assert labels == ["params.dt=9, model=svm", "params.dt=10, model=forest", "params.dt=10, model=svm"]
    assert groups.choices(trials[0].variant) == {"params": "digits", "model": "svm", "opt": "a,b"}
    assert [g.label for g in compare.compare(trials, by=("net.k.1",)).groups] == [
        f"net.k.1={i}" for i in range(3)
    ]
    with pytest.raises(Refused, match=r"no trial has 'dtt'\n.*params\.dt"):
        compare.compare(trials, by=("dtt",))


def test_a_label_with_two_meanings_is_two_groups() -> None:
    """A variant that was redefined does not mix with what it meant before."""
    trials = [summary(1, param_set="a" * 64), summary(2, param_set="b" * 64)]
    labels = [g.label for g in compare.compare(trials).groups]
    assert labels == ["fast, param_set=aaaaaaa", "fast, param_set=bbbbbbb"]


@pytest.mark.parametrize("value", [math.nan, math.inf, None, True, "0.5", [1], 10**400])
def test_what_is_no_finite_number_does_not_count(value: Any) -> None:
    """It is told apart, not averaged."""
    found = compare.compare([summary(1, main=value), summary(2)])
    assert len(found.without) == 1 and found.groups[0].statistics.n == 1


# --- which trials are mixed -----------------------------------------------------------------------


def test_only_succeeded_trials_of_one_code_are_mixed() -> None:
    """Every other trial is left out under its own reason, and all of them add up."""
    trials = [
        summary(9, status=Status.RUNNING, main=None),
        summary(8),
        summary(7, taints=1),
        summary(6, status=Status.FAILED, main=None),
        summary(5, seed=8),
        summary(4, removed=True),
        summary(3, code_identity="old", commit="d" * 40),
        summary(2),
    ]
    found = groups.select(trials, one_file)
    assert [t.seed for t in found.counted] == [8, 2]
    assert {k: len(v) for k, v in found.left_out.items()} == {
        "running": 1, "tainted": 1, "failed": 1, "repeated": 1, "removed": 1, "other_code": 1,
    }  # fmt: skip
    assert len(groups.select(trials, one_file, mix_code=True).counted) == 3
    assert len(groups.select(trials, one_file, tainted=True).counted) == 3


def test_trials_of_other_data_are_not_mixed_in() -> None:
    """The newest content of each file counts; trials of other files, or of none, stay."""
    reads = {0: {"a.csv": "old"}, 1: {"a.csv": "new"}, 2: {"b.csv": "x"}, 3: {"a.csv": "new", "b.csv": "x"}}
    trials = [summary(i, f"v{i}") for i in reversed(range(5))]

    def digests(trial: Summary) -> dict[str, str]:
        return reads[trial.seed]

    given = groups.Inputs({f"{i:012x}": i for i in reads}, digests)
    found = groups.select(trials, one_file, given)
    assert [t.seed for t in found.counted] == [4, 3, 2, 1]
    assert [t.seed for t in found.left_out["other_data"]] == [0]
    assert len(groups.select(trials, one_file, given, mix_data=True).counted) == 5


def test_a_search_does_not_say_which_code_is_the_newest() -> None:
    """What `reproduce` or `bisect` ran with old code leaves the statistics as they were."""
    trials = [
        summary(3, code_identity="old", commit="d" * 40, tags=("bisect",)),
        summary(2, code_identity="new"),
        summary(1, code_identity="new", tags=("reproduce",)),
        summary(0, code_identity="old", commit="d" * 40),
    ]
    found = groups.select(trials, one_file)
    assert [t.seed for t in found.counted] == [2, 1]
    assert [t.seed for t in found.left_out["other_code"]] == [0, 3]


def test_variants_that_load_different_modules_are_of_one_code() -> None:
    """No file that both loaded differs: one code. One that differs, or none in common: another."""
    loaded = {
        "new svm": {"run.py": "1", "svm.py": "1"},
        "new forest": {"run.py": "1", "forest.py": "1"},
        "old svm": {"run.py": "1", "svm.py": "0"},
        "other": {"else.py": "1"},
    }
    trials = [summary(9 - i, code_identity=name, commit=name) for i, name in enumerate(loaded)]
    found = groups.select(trials, lambda t: loaded[t.code_identity])
    assert [t.code_identity for t in found.counted] == ["new svm", "new forest"]


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    """The URL of a store with two variants by five seeds, and trials that do not count."""
    rng = np.random.default_rng(7)
    url = f"sqlite:///{tmp_path}/mitosis.db"
    module = ModuleRecord("run", "run.py", "b" * 40, "commit")
    with Store.open(url) as store:
        number = 0
        for variant, mean in (("digits,model=svm", 0.99), ("digits,model=forest", 0.97)):
            for seed in range(5):
                number += 1
                add(store, number, variant, seed, mean + rng.normal(0, 0.005), module)
        add(store, 20, "digits,model=svm", 5, None, module, status=Status.FAILED)
        add(store, 21, "digits,model=svm", 6, 0.1, module, taints=(Remark("changed", "x", "y"),))
    return url


def add(
    store: Store, number: int, variant: str, seed: int, main: Any, module: ModuleRecord, **outcome: Any
) -> None:
    spec = store_values.trial_spec(number, variant=variant, seed=seed, values={"model": variant}, tags=())
    store.start(spec, store_values.ENVIRONMENT)
    made = {"main": main, "metrics": {"loss": seed * 1.0}, "modules": (module,), "taints": ()}
    made["code_identity"] = "1" * 64
    store.finish(spec.id, store_values.trial_outcome(**{**made, **outcome}))


def run(*arguments: str) -> str:
    done = CliRunner().invoke(command.command, arguments, catch_exceptions=False, standalone_mode=False)
    return done.stdout


def test_the_json_is_as_documented_and_its_numbers_are_pandas(sweep: str) -> None:
    """The keys are there, and the numbers equal pandas' and SciPy's on the exported CSV."""
    found = json.loads(run("--store", sweep, "--all-projects", "--json"))
    assert list(found) == ["groups", "pairs", "left_out"]
    assert found["left_out"] == {"tainted": 1, "failed": 1}
    exported = CliRunner().invoke(
        listing.command, ["--store", sweep, "--all-projects", "--csv"], standalone_mode=False
    )
    table = pd.read_csv(io.StringIO(exported.stdout))
    table = table[(table["status"] == "succeeded") & (table["seed"] < 5)]
    wide = table.pivot_table(index="seed", columns="variant", values="main")
    for group in found["groups"]:
        assert list(group) == ["variant", "n", "mean", "std", "ci_low", "ci_high", "min", "max"]
        described = wide[group["variant"]].describe()
        for ours, theirs in (
            ("n", "count"),
            ("mean", "mean"),
            ("std", "std"),
            ("min", "min"),
            ("max", "max"),
        ):
            assert group[ours] == pytest.approx(described[theirs], rel=1e-12)
    (pair,) = found["pairs"]
    assert list(pair) == ["a", "b", "difference", "ci_low", "ci_high", "paired", "within_chance"]
    test = stats.ttest_rel(wide[pair["a"]], wide[pair["b"]]).confidence_interval(0.95)
    assert (pair["ci_low"], pair["ci_high"]) == pytest.approx((test.low, test.high), rel=1e-9)
    assert pair["paired"] and pair["within_chance"] is False


def test_the_text_says_which_by_how_much_and_whether_by_chance(sweep: str) -> None:
    """Method, verdict, denominator and the next command are there, in words."""
    said = run("--store", sweep, "--all-projects")
    assert "digits,model=svm is higher than digits,model=forest by 0.0" in said
    assert "paired t-test, 5 shared seeds" in said and "the seeds alone do not explain it" in said
    assert "10 of 12 trials count; left out: 1 tainted (--tainted counts them), 1 failed" in said
    assert said.splitlines()[-1].startswith("10 of 12")
    lower = run("--store", sweep, "--all-projects", "--better", "lower", "--by", "model", "--metric", "loss")
    assert "model=forest and model=svm are equal" in lower or "model=svm and model=forest are equal" in lower


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    """An absent store is an empty answer."""
    nowhere = f"sqlite:///{tmp_path}/none.db"
    assert json.loads(run("--store", nowhere, "--json")) == {"groups": [], "pairs": [], "left_out": {}}
    assert run("--store", nowhere) == "no trial yet\n"
