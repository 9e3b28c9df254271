"""Tests of mitosis/differences.py: every cause is found where it differs, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mitosis import differences, identity
from mitosis.trial import FileRecord, LookupRecord, ModuleRecord, Trial, Variant
from tests import store_values

PYTHON = {"e" * 64: {"python": "3.11", "distributions": {"numpy": ["2.1", ""]}, "variables": {}}}
OTHER = {"f" * 64: {"python": "3.12", "distributions": {"numpy": ["2.2", ""], "scipy": ["1", ""]}}}


def trial(number: int = 0, values: Any = None, **changes: Any) -> Trial:
    """A trial; `changes` are of its outcome, `spec_...` of its spec."""
    spec = {k.removeprefix("spec_"): v for k, v in changes.items() if k.startswith("spec_")}
    if values is not None:
        spec["values"] = values
    outcome = {k: v for k, v in changes.items() if not k.startswith("spec_")}
    return Trial(store_values.trial_spec(number, **spec), store_values.trial_outcome(**outcome))


def between(a: Any, b: Any) -> differences.Differences:
    return differences.between(a, b, {**PYTHON, **OTHER})


def test_nothing_differs() -> None:
    """Two trials of one recipe with one result differ in nothing."""
    found = between(trial(0), trial(1))
    assert found.causes == () and not found.outcome_differs and not found.not_reproducible


def test_the_same_recipe_with_another_result_is_not_reproducible() -> None:
    """Where nothing differs but the number, that is what is said."""
    found = between(trial(0), trial(1, main=0.25))
    assert found.not_reproducible
    assert found.metrics == (differences.Metric("main", 0.125, 0.25, 0.125, 1.0),)


def test_parameters_are_nested_and_typed() -> None:
    """A change names its dotted key, and 1, 1.0 and true are three values; an absent key has none."""
    found = between(
        trial(0, {"model": {"n": 1, "kernel": "rbf"}}),
        trial(1, {"model": {"n": 1.0, "kernel": "rbf"}, "more": None}),
    )
    assert found.causes == ("params",)
    assert [(c.name, c.a, c.b) for c in found.params] == [("model.n", (1,), (1.0,)), ("more", (), (None,))]


def test_a_leaf_that_follows_the_seed_is_no_difference() -> None:
    """Parameters that are one set over all seeds do not differ between two seeds."""
    tracked = identity.parameter_set({"dt": identity.Unresolved("${seed}")})
    one = trial(0, spec_param_set=tracked, spec_params=identity.canonical({"dt": 1}), spec_seed=1)
    two = trial(1, spec_param_set=tracked, spec_params=identity.canonical({"dt": 2}), spec_seed=2)
    assert between(one, two).causes == ("seed",)


def test_versions_of_variants() -> None:
    """A variant that was redefined shows its versions."""
    text = identity.canonical({"dt": 0.5})
    other = Variant("params", "fast", identity.digest(text), text, version=2)
    found = between(trial(0), trial(1, {"dt": 0.5}, spec_variants=(other,)))
    assert found.variants == (differences.Change("params", ("fast version 1",), ("fast version 2",)),)


def test_code_is_what_was_loaded() -> None:
    """Other commits alone are no cause; files of another content are, and files that one side loaded."""
    a = trial(0, spec_commit="a" * 40)
    assert between(a, trial(1, spec_commit="b" * 40)).causes == ()
    modules = (ModuleRecord("pkg.lorenz", "pkg/lorenz.py", "0" * 40, "commit"),
               ModuleRecord("pkg.more", "pkg/more.py", "1" * 40, "commit"),
               ModuleRecord("numpy", "/env/numpy/__init__.py", "2" * 40, "numpy 2.1"))  # fmt: skip
    found = between(a, trial(1, modules=modules))
    assert found.causes == ("code",)
    assert [(c.name, c.a, c.b) for c in found.files] == [
        ("pkg/lorenz.py", ("f" * 40,), ("0" * 40,)), ("pkg/more.py", (), ("1" * 40,))
    ]  # fmt: skip


def test_unknown_code_is_told_by_the_commits() -> None:
    """Where it is not known what a trial loaded, another commit is a cause."""
    found = between(trial(0), trial(1, spec_commit="b" * 40, modules=()))
    assert found.causes == ("code",) and not found.code_known and not found.files


def test_tables_that_both_looked_into() -> None:
    """Another value under the same name of a table is code; another name is a parameter's doing."""
    one = (LookupRecord("pkg:table", "x", "1" * 64),)
    assert between(trial(0, lookups=one), trial(1, lookups=(replace(one[0], digest="2" * 64),))).causes == (
        "code",
    )
    assert between(trial(0, lookups=one), trial(1, lookups=(replace(one[0], name="y"),))).causes == ()


def test_inputs_declared_and_observed() -> None:
    """A file is the same input whether it was declared or observed; its content is what counts."""
    declared = FileRecord("data/b.csv", "b" * 64, 11, "declared")
    both = trial(1, spec_inputs=(*store_values.trial_spec().inputs, declared), inputs=())
    assert between(trial(0), both).causes == ()
    other = trial(1, inputs=(FileRecord("data/b.csv", "c" * 64, 12, "observed"),))
    assert between(trial(0), other).inputs == (differences.Change("data/b.csv", ("b" * 64,), ("c" * 64,)),)


def test_environment() -> None:
    """Packages, Python and threads are named; threads of a library that one side alone loaded are not."""
    a = trial(0, threads=("openblas 0.3: 2 threads",))
    b = trial(1, spec_environment="f" * 64, threads=("openblas 0.3: 4 threads", "openmp 5: 4 threads"))
    found = between(a, b)
    assert found.causes == ("environment",)
    assert [(c.name, c.a, c.b) for c in found.environment] == [
        ("package numpy", ("2.1",), ("2.2",)),
        ("package scipy", (), ("1",)),
        ("python", ("3.11",), ("3.12",)),
        ("threads of openblas 0.3", ("2 threads",), ("4 threads",)),
    ]
    assert between(a, trial(1, spec_environment="0" * 64)).environment[0].name == "environment"


def test_sets_of_trials() -> None:
    """Two sets differ where their sets of values do, and their means are compared."""
    a = [trial(i, spec_seed=i, main=float(i)) for i in range(3)]
    b = [trial(i + 3, {"dt": 0.5}, spec_seed=i, main=float(i + 2)) for i in range(3)]
    found = between(a, b)
    assert found.causes == ("params",)
    assert [(c.name, c.a, c.b) for c in found.params] == [
        ("dt", (0.01,), (0.5,)), ("model", ({"kernel": "rbf"},), ())
    ]  # fmt: skip
    assert (found.metrics[0].a, found.metrics[0].b, found.metrics[0].relative) == (1.0, 3.0, 2.0)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [(float("nan"), float("nan"), True), (1, 1.0, True), (None, 0.0, False), ("x", "x", True)],
)
def test_metrics_that_are_the_same(a: Any, b: Any, same: bool) -> None:
    """nan is as good as nan, and no number is not zero."""
    assert (between(trial(0, main=a), trial(1, main=b)).metrics == ()) == same
