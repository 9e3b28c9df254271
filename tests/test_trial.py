"""Tests of mitosis.trial: every frozen value survives being written as JSON and read back."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis import trial
from mitosis.trial import (
    CodeState,
    Failure,
    FileRecord,
    HostProcess,
    LookupRecord,
    ModuleRecord,
    Outcome,
    ParameterSet,
    Remark,
    Status,
    Summary,
    Trial,
    TrialSpec,
    Variant,
    from_plain,
    plain,
    strict,
)

text = st.text(max_size=10)  # lone surrogates, newlines, quotes and all
numbers = st.floats(allow_nan=False)  # nan differs from itself; it has a test of its own
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
metrics = st.dictionaries(text, numbers, max_size=3)


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=2).map(tuple)


def built(cls: type, **special: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Instances of `cls`; a field that is named twice in the types has its strategy in `special`."""
    simple = {"str": text, "int": st.integers(), "float": numbers, "bool": st.booleans(), "JSON": documents}
    simple["Mapping[str, str]"] = st.dictionaries(text, text, max_size=2)
    given_ = {}
    for f in dataclasses.fields(cls):
        kind, _, optional = str(f.type).partition(" | ")
        found = special[f.name] if f.name in special else simple[kind]
        given_[f.name] = st.none() | found if optional else found
    return st.builds(cls, **given_)


remarks = several(built(Remark))
files = several(built(FileRecord))
statuses = st.sampled_from(Status)
specs = built(
    TrialSpec,
    variants=several(built(Variant)),
    param_set=built(ParameterSet),
    code=built(CodeState),
    process=built(HostProcess),
    overrides=several(text),
    inputs=files,
    tags=several(text),
    notes=remarks,
    settings=st.dictionaries(text, documents, max_size=2),
)
outcomes = built(
    Outcome,
    status=statuses,
    metrics=metrics,
    error=built(Failure),
    figures=several(text),
    inputs=files,
    outputs=files,
    modules=several(built(ModuleRecord)),
    taints=remarks,
    notes=remarks,
    lookups=several(built(LookupRecord)),
    threads=several(text),
    files=st.dictionaries(text, text, max_size=2),
)
trials = st.builds(Trial, specs, st.none() | outcomes)
summaries = built(Summary, status=statuses, metrics=metrics, tags=several(text))


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(plain(value)))


@given(trials | summaries | outcomes)
def test_round_trip(value: Any) -> None:
    """What `plain` writes, as JSON, `from_plain` reads back as the equal value of the same type."""
    assert from_plain(type(value), through_json(value)) == value


@given(outcomes)
def test_what_is_read_is_frozen_and_of_its_type(outcome: Outcome) -> None:
    """Tuples come back as tuples, the status as a Status, and nothing can be changed."""
    again = from_plain(Outcome, through_json(outcome))
    assert type(again.status) is Status
    assert type(again.figures) is tuple
    assert all(type(r) is Remark for r in again.taints)
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.seconds = 1.0  # type: ignore[misc]


def test_numbers_that_are_no_json() -> None:
    """nan and the infinities survive in main and in metrics."""
    outcome = Outcome(Status.SUCCEEDED, "t", main=math.nan, metrics={"a": math.nan, "b": -math.inf})
    again = from_plain(Outcome, through_json(outcome))
    assert math.isnan(again.main)
    assert math.isnan(again.metrics["a"])
    assert again.metrics["b"] == -math.inf


@given(trials)
def test_keys_of_a_newer_version_are_left_out(value: Trial) -> None:
    """A document that a newer version wrote is read as far as it is known, at every depth."""
    document = through_json(value)
    document["later"] = 1
    document["spec"]["code"]["later"] = {"a": []}
    assert from_plain(Trial, document) == value


@pytest.mark.parametrize(
    "document",
    [{}, [], None, "text", 1, {"spec": {}}, {"spec": None}, {"spec": "text"}, {"outcome": None}],
)
def test_a_document_of_something_else(document: Any) -> None:
    """What is no trial raises one of the three errors that are documented."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_plain(Trial, document)


def test_an_unknown_status() -> None:
    """A status that does not exist is an error, not a text that looks like one."""
    with pytest.raises(ValueError, match="exploded"):
        from_plain(Outcome, {"status": "exploded", "finished_at": ""})


@given(documents | st.floats() | st.lists(st.floats()) | trials.map(plain))
def test_strict_is_strict_json(value: Any) -> None:
    """Whatever `strict` gives can be written without NaN, and is unchanged where there was none."""
    written = json.dumps(strict(value), allow_nan=False)
    assert json.loads(written, parse_constant=pytest.fail) == strict(value)


def test_strict_forms() -> None:
    """What JSON has not: such numbers are null, tuples and sets lists, bytes hex, members their values."""
    value = {1: (math.nan, -math.inf), "b": b"\xff", "s": {1}, "e": Status.LOST, "o": complex(0, 1)}
    assert strict(value) == {"1": [None, None], "b": "ff", "s": [1], "e": "lost", "o": "1j"}


def test_statuses() -> None:
    """The words of the contract, of which only `running` is not final."""
    words = ["running", "succeeded", "failed", "timed_out", "died", "interrupted", "lost"]
    assert [s.value for s in Status] == words
    assert [s for s in Status if not s.final] == [Status.RUNNING]


@given(specs)
def test_a_trial_without_outcome_runs(spec: TrialSpec) -> None:
    """The status of a trial is that of its outcome; without one it is running."""
    assert Trial(spec).status is Status.RUNNING
    assert Trial(spec, Outcome(Status.DIED, "t")).status is Status.DIED
    assert Trial(spec).id == spec.id


def test_names_of_variants() -> None:
    """A variant is called as it is written in `mitosis.redefine`."""
    assert Variant("params", "fast", "d", "t").name == "params/fast"


def test_new_ids_and_times() -> None:
    """Ids have 12 hex digits and do not repeat; times are UTC and say so."""
    ids = {trial.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[0-9a-f]{12}", i) for i in ids)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", trial.utc_now())
