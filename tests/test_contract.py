"""The contract of an experiment: how run is called, and what of its result is recorded."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from mitosis.kernel import contract
from mitosis.kernel.contract import ContractError


def test_the_seed_goes_first_where_it_can() -> None:
    """A function whose first parameter takes the seed gets it by position, whatever its name."""

    def named(seed: int, dt: float) -> None: ...
    def only_positional(seed: int, /, dt: float) -> None: ...
    def other_name(rng_seed: int, dt: float) -> None: ...
    def star(*args: Any, **kwargs: Any) -> None: ...

    for run in (named, only_positional, other_name, star):
        assert contract.by_keyword(run, {"dt": 0.1}) is False


def test_the_seed_goes_by_keyword_where_it_must() -> None:
    """A keyword-only seed, one that is not first, and one inside **kwargs are passed by name."""

    def keyword_only(*, seed: int, dt: float) -> None: ...
    def not_first(dt: float, seed: int) -> None: ...
    def anything(**kwargs: Any) -> None: ...

    for run in (keyword_only, not_first, anything):
        assert contract.by_keyword(run, {"dt": 0.1}) is True


def test_methods_and_callables_are_experiments() -> None:
    """Static methods, class methods and objects with __call__ are called like functions."""

    class Model:
        @staticmethod
        def static(seed: int, dt: float) -> None: ...
        @classmethod
        def of_class(cls, seed: int, dt: float) -> None: ...
        def __call__(self, seed: int, dt: float) -> None: ...

    for run in (Model.static, Model.of_class, Model()):
        assert contract.by_keyword(run, {"dt": 0.1}) is False


def test_a_method_without_its_object_is_refused() -> None:
    """With the way out; a function whose argument is called so is none."""

    class Model:
        def fit(self, seed: int) -> None: ...

    def run(self: int) -> None: ...

    with pytest.raises(ContractError, match=r"Model\.fit needs an object of its class: make it a static"):
        contract.by_keyword(Model.fit, {})
    assert contract.by_keyword(run, {}) is False


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dt": 1, "dx": 2}, ["does not take params.dx", "it takes dt, steps"]),
        ({}, ["needs params.dt"]),
    ],
)
def test_a_call_that_cannot_work_is_refused_before_it_is_made(
    params: dict[str, Any], words: list[str]
) -> None:
    """An unknown and a missing keyword are named, with what the function takes."""

    def run(seed: int, dt: float, steps: int = 3) -> None:
        raise AssertionError("it must not be called")

    with pytest.raises(ContractError) as refused:
        contract.by_keyword(run, params)
    assert all(word in str(refused.value) for word in words)


def test_what_is_not_callable_is_refused() -> None:
    """`function` may name a value that is no function: that is said, not a TypeError of ours."""
    with pytest.raises(ContractError, match="not callable"):
        contract.by_keyword(3, {})  # type: ignore[arg-type]


def test_main_is_a_number_or_a_json_value() -> None:
    """Zero, nan, numpy scalars, 0-d arrays and JSON values are recorded as they are."""
    assert contract.read({"main": 0}).main == 0
    assert math.isnan(contract.read({"main": math.nan}).main)
    assert contract.read({"main": np.float32(0.5)}).main == 0.5
    assert contract.read({"main": np.array(3)}).main == 3
    assert isinstance(contract.read({"main": np.int64(3)}).main, int)
    assert contract.read({"main": Fraction(1, 2)}).main == 0.5
    assert contract.read({"main": Decimal("0.25")}).main == 0.25
    assert contract.read({"main": {"a": [1, None, "x"]}}).main == {"a": [1, None, "x"]}
    assert contract.read({"main": True}).main is True
    assert contract.read({"main": "<object at 0x7f>"}).main == "<object at 0x7f>"


@pytest.mark.parametrize("main", [np.zeros(3), object(), {1, 2}, b"x", 1j])
def test_a_main_that_cannot_be_recorded_is_refused(main: Any) -> None:
    """An array, an object, a set, bytes and a complex number are no main; the message says what it is."""
    with pytest.raises(ContractError, match="'main' is"):
        contract.read({"main": main})


@pytest.mark.parametrize("result", [None, 3, [1], "main"])
def test_a_result_must_be_a_mapping(result: Any) -> None:
    """What is no mapping is refused by saying what was returned."""
    with pytest.raises(ContractError, match="must return a mapping"):
        contract.read(result)


def test_a_result_without_main_names_its_keys() -> None:
    """The keys that are there help to find the one that was misspelt."""
    with pytest.raises(ContractError, match=r"no key 'main'; its keys: 'mian'"):
        contract.read({"mian": 1})


def test_numbers_of_the_result_become_metrics() -> None:
    """Other numbers at the top and under `metrics` are metrics; arrays, texts and booleans are not."""
    reading = contract.read(
        {
            "main": 1,
            "loss": np.float64(0.5),
            "curve": [1, 2],
            "ok": True,
            "metrics": {"f1": 0.25, "name": "x"},
        }
    )
    assert reading.metrics == {"loss": 0.5, "f1": 0.25}
    assert [n["where"] for n in reading.left_out] == ["metrics.name"]


@pytest.mark.parametrize("metrics", [None, [1, 2], "many", {"a": 10**400}, {3: 1.0}])
def test_metrics_may_be_anything(metrics: Any) -> None:
    """Metrics that are missing, a list, a text or too large are left out and do not fail the trial."""
    assert contract.read({"main": 1, "metrics": metrics}).metrics == {}
