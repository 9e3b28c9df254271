"""What the store promises of the values that go in and come out, on every database there is a server for."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from mitosis.errors import (
    InternalError,
    JobTaken,
    Refused,
    StoreRefused,
    TrialNotFound,
    TrialRefused,
    VariantRedefined,
)
from mitosis.store import Query, Store, display_url, password_in
from mitosis.trial import FileRecord, Outcome, Remark, Status, Trial
from tests.store_values import (
    BACKENDS,
    ENVIRONMENT,
    EPOCH,
    FAILURE,
    HOSTILE,
    at,
    database,
    trial_outcome,
    trial_spec,
    variant,
)

PROJECT = "https://example.org/lab.git"


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def run(store: Store, number: int = 0, outcome: Outcome | None = None, **changes: Any) -> str:
    """File a trial and, with an outcome, its end; returns its id."""
    spec = store.start(trial_spec(number, **changes), ENVIRONMENT)
    if outcome is not None:
        assert store.finish(spec.id, outcome)
    return spec.id


def ids(store: Store, **question: Any) -> list[int]:
    return [int(summary.id, 16) for summary in store.find(Query(**question))]


# -- whole trials ------------------------------------------------------------------------------------


def test_a_running_trial_comes_back_as_it_was_filed(store: Store) -> None:
    """Every field of a spec survives the tables, and a trial without an outcome is running."""
    spec = trial_spec()
    assert store.start(spec, ENVIRONMENT) == spec
    assert store.get(spec.id) == Trial(spec)
    assert store.get(spec.id).status is Status.RUNNING


def test_a_finished_trial_comes_back_whole(store: Store) -> None:
    """Every field of an outcome survives the tables, lists of files and modules in their order."""
    outcome = trial_outcome(
        inputs=tuple(FileRecord(f"data/{n}", "d" * 64, n, "observed") for n in (3, 1, 2)),
        error=FAILURE,
        status=Status.FAILED,
    )
    spec = trial_spec()
    run(store, outcome=outcome)
    assert store.get(spec.id) == Trial(spec, outcome)


def test_hostile_texts_are_kept_exactly(store: Store) -> None:
    """Quotes, newlines, emoji, NUL and lone surrogates come back as they were, in every narrow column."""
    for number, text in enumerate([HOSTILE, "nul \x00 in it", "lone \udcff surrogate", "\x1b[31mred", ""]):
        spec = trial_spec(
            number,
            experiment=text or "e",
            variant=text,
            variants=(variant(text or "o", text or "g"),),
            branch=text,
            project=text,
            folder=f"/{text}",
            note=text,
            tags=(text,),
            sweep=f"s{text}",
            job=0,
            inputs=(FileRecord(text, "a" * 64, 1, "declared"),),
            overrides=(text,),
        )
        outcome = trial_outcome(main=text, metrics={text: 1.0}, notes=(Remark("k", text, text),))
        store.start(spec, {"cpu": text})
        store.finish(spec.id, outcome)
        assert store.get(spec.id) == Trial(spec, outcome)
        [summary] = store.find(
            Query(project=text, experiment=text or "e", variant=text, sweep=f"s{text}", tags=(text,))
        )
        assert (summary.note, summary.tags, summary.branch) == (text, (text,), text)
        assert summary.metrics == {text: 1.0}


@pytest.mark.parametrize(
    "main", [0, 0.0, -1.5, 10**400, True, None, "text", [1, {"a": None}], {"b": [1.5]}, math.inf, -math.inf]
)
def test_main_is_any_json_value(store: Store, main: Any) -> None:
    """What is no number is stored as it is; zero is zero and not nothing."""
    run(store, outcome=trial_outcome(main=main))
    [summary] = store.find(Query())
    assert (summary.main, type(summary.main)) == (main, type(main))
    outcome = store.get("@1").outcome
    assert outcome is not None
    assert (outcome.main, type(outcome.main)) == (main, type(main))


def test_nan_survives(store: Store) -> None:
    """A nan in `main` and in a metric is a nan afterwards, not a NULL and not nothing."""
    run(store, outcome=trial_outcome(main=math.nan, metrics={"loss": math.nan, "up": math.inf}))
    [summary] = store.find(Query())
    assert math.isnan(summary.main)
    assert math.isnan(summary.metrics["loss"])
    assert summary.metrics["up"] == math.inf


def test_values_that_follow_the_seed_share_a_set(store: Store) -> None:
    """The set has the text with the reference, each trial its own resolved values."""
    run(store, 1, params='{"x":1}')
    run(store, 2, params='{"x":2}')
    first, second = store.get("@2"), store.get("@1")
    assert (first.spec.params, second.spec.params) == ('{"x":1}', '{"x":2}')
    assert first.spec.param_set == second.spec.param_set
    assert [summary.params for summary in store.find(Query())] == ['{"x":2}', '{"x":1}']


def test_many_records_are_kept(store: Store) -> None:
    """10,000 metrics, files and modules fit into one transaction."""
    outcome = trial_outcome(
        metrics={f"m{n}": float(n) for n in range(10_000)},
        inputs=tuple(FileRecord(f"in/{n}", "d" * 64, n, "observed") for n in range(10_000)),
    )
    run(store, outcome=outcome)
    assert store.get("@1").outcome == outcome
    assert len(store.find(Query())[0].metrics) == 10_000


def test_a_finished_trial_never_changes(store: Store) -> None:
    """The second end of a trial is refused by False, and the first one stays."""
    run(store, outcome=trial_outcome())
    assert not store.finish(trial_spec().id, trial_outcome(status=Status.LOST, main=None))
    assert store.get("@1").outcome == trial_outcome()
    assert not store.heartbeat(trial_spec().id)


def test_ending_as_running_is_a_fault(store: Store) -> None:
    """`running` is no end."""
    run(store)
    with pytest.raises(InternalError, match="cannot end as running"):
        store.finish(trial_spec().id, trial_outcome(status=Status.RUNNING))


def test_a_trial_that_is_not_there_cannot_end(store: Store) -> None:
    """The end of a trial without a row is told, not lost."""
    with pytest.raises(TrialNotFound, match="mitosis check"):
        store.finish("0" * 12, trial_outcome())


def test_an_id_is_taken_once(store: Store) -> None:
    """A second trial with the id of another is refused by name, and leaves nothing behind."""
    run(store)
    with pytest.raises(StoreRefused, match="000000000000 is in the store already"):
        store.start(trial_spec(variants=(variant("other", x=1),)), ENVIRONMENT)
    assert [use.variant.option for use in store.variant_history()] == ["fast"]


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_a_seed_beyond_the_column_is_refused(store: Store, seed: int) -> None:
    """A seed of more than 64 bits is refused, and is no fault to ask for."""
    with pytest.raises(TrialRefused, match=str(seed)):
        store.start(trial_spec(seed=seed), ENVIRONMENT)
    assert store.find(Query(seed=seed)) == []


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63), 0])
def test_the_largest_seeds_are_kept(store: Store, seed: int) -> None:
    """Every seed of 64 bits comes back and is found."""
    run(store, seed=seed)
    assert [summary.seed for summary in store.find(Query(seed=seed))] == [seed]


def test_environments_are_kept_once(store: Store) -> None:
    """Trials with the same environment share its content; an unknown one is None."""
    run(store, 1)
    run(store, 2)
    assert store.environment("e" * 64) == ENVIRONMENT
    assert store.environment("f" * 64) is None


def test_running_trials_and_their_silence(store: Store) -> None:
    """`running` gives those without an end, oldest first, and each is heard of by its heartbeat."""
    run(store, 3)
    run(store, 1, outcome=trial_outcome())
    run(store, 2)
    assert [trial.id for trial in store.running()] == [trial_spec(2).id, trial_spec(3).id]
    assert store.heartbeat(trial_spec(2).id)
    silences = store.silences()
    assert set(silences) == {trial_spec(2).id, trial_spec(3).id}
    assert 0 <= silences[trial_spec(2).id] <= silences[trial_spec(3).id] < 60


def test_a_whole_trial_is_adopted_once(store: Store) -> None:
    """A trial from its folder is filed with its end; one that is known already is left alone."""
    trial = Trial(trial_spec(), trial_outcome(status=Status.LOST))
    assert store.adopt(trial)
    assert not store.adopt(trial)
    assert store.get("@1") == trial
    assert store.environment("e" * 64) is None
    run(store, 1)
    assert store.environment("e" * 64) == ENVIRONMENT


def test_a_store_is_rebuilt_from_trials(store: Store, tmp_path: Path) -> None:
    """Adopting every trial of a store gives a second store that answers the same."""
    run(store, 1, outcome=trial_outcome(), sweep="5eed", job=0)
    store.start(trial_spec(2, variants=(variant(dt=0.5),), sweep="5eed", job=1), ENVIRONMENT, ["params/fast"])
    run(store, 3)
    trials = [store.get(f"@{n}") for n in (1, 2, 3)]
    with Store.open(tmp_path / "rebuilt.db") as second:
        for trial in trials:
            assert second.adopt(trial, ENVIRONMENT)
        assert [second.get(trial.id) for trial in trials] == trials
        assert second.find(Query()) == store.find(Query())
        first_uses, second_uses = store.variant_history(), second.variant_history()
        assert [dataclasses.replace(use, filed_at="") for use in second_uses] == [
            dataclasses.replace(use, filed_at="") for use in first_uses
        ]
        holder = second.claimed("5eed", 1)
        assert holder is not None
        assert holder.id == trial_spec(2).id


# -- names of trials ---------------------------------------------------------------------------------


def test_trials_are_named_by_prefix_and_by_age(store: Store) -> None:
    """Any unique prefix of the id, in either case, or @1 for the latest by start."""
    for number in (0xAB0000000000, 0xAC0000000000, 0x100000000000):
        spec = trial_spec(0, id=f"{number:012x}", started_at=at(number % 7919))
        store.start(spec, ENVIRONMENT)
    assert store.get("ab").id == "ab0000000000"
    assert store.get("AC0").id == "ac0000000000"
    newest_first = [summary.id for summary in store.find(Query())]
    assert [store.get(f"@{n}").id for n in (1, 2, 3)] == newest_first


def test_latest_counts_within_the_project(store: Store) -> None:
    """@1 of a project is its own latest; an id is found whatever the project."""
    run(store, 1)
    run(store, 2, project="other")
    assert store.get("@1", project=PROJECT).id == trial_spec(1).id
    assert store.get(trial_spec(2).id, project=PROJECT).id == trial_spec(2).id


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a", ["ab0000000000", "abc000000000", "more than one", "seed=7"]),
        ("abd", ["'abd'", "nearest: ab0000000000, abc000000000", "mitosis ls"]),
        ("lorenz", ["'lorenz' is no id", "hex"]),
        ("", ["no trial is named"]),
        ("@0", ["@1 for the latest"]),
        ("@x", ["@1 for the latest"]),
        ("@3", ["there is no @3"]),
        ("@99999999999999999999", ["@1 for the latest"]),
        ("\udcff\x00", ["hex"]),
    ],
)
def test_a_name_that_means_no_trial_is_explained(store: Store, name: str, words: list[str]) -> None:
    """The message names the candidates and what to do next."""
    for number, trial in enumerate(["ab0000000000", "abc000000000"]):
        store.start(trial_spec(number, id=trial), ENVIRONMENT)
    with pytest.raises(TrialNotFound) as caught:
        store.get(name)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# -- pages -------------------------------------------------------------------------------------------


def test_a_summary_holds_what_ls_shows(store: Store) -> None:
    """A summary agrees with the trial it is of."""
    run(store, outcome=trial_outcome(), sweep="5eed", job=3)
    [summary] = store.find(Query())
    trial = store.get(summary.id)
    assert trial.outcome is not None
    for name in (
        "experiment",
        "variant",
        "params",
        "seed",
        "started_at",
        "sweep",
        "job",
        "folder",
        "note",
        "tags",
    ):
        assert getattr(summary, name) == getattr(trial.spec, name)
    for name in ("commit", "branch", "dirty", "project"):
        assert getattr(summary, name) == getattr(trial.spec.code, name)
    for name in ("status", "main", "metrics", "seconds", "cpu_seconds"):
        assert getattr(summary, name) == getattr(trial.outcome, name)
    assert summary.param_set == trial.spec.param_set.digest
    assert summary.taints == 1


def test_each_filter_finds_its_trials(store: Store) -> None:
    """Every filter of a question restricts, alone and together with others."""
    run(store, 0)
    run(store, 1, outcome=trial_outcome(), experiment="digits", seed=8, tags=("x", "y"))
    run(store, 2, outcome=trial_outcome(status=Status.FAILED), variant="slow", commit="beef" + "0" * 36)
    run(store, 3, project="other", sweep="5eed", job=0, tags=("x",))
    assert ids(store) == [3, 2, 1, 0]
    assert ids(store, project=PROJECT) == [2, 1, 0]
    assert ids(store, project="nobody's") == []
    assert ids(store, experiment="digits") == [1]
    assert ids(store, variant="slow") == [2]
    assert ids(store, status=(Status.FAILED,)) == [2]
    assert ids(store, status=(Status.FAILED, Status.SUCCEEDED)) == [2, 1]
    assert ids(store, seed=8) == [1]
    assert ids(store, commit="BEE") == [2]
    assert ids(store, commit="c0ffee", project=PROJECT) == [1, 0]
    assert ids(store, commit="%") == []
    assert ids(store, sweep="5eed") == [3]
    assert ids(store, tags=("x",)) == [3, 1]
    assert ids(store, tags=("x", "y")) == [1]
    assert ids(store, since=EPOCH + timedelta(seconds=1), until=EPOCH + timedelta(seconds=3)) == [2, 1]
    tokyo = (EPOCH + timedelta(seconds=2)).astimezone(timezone(timedelta(hours=9)))
    assert ids(store, since=tokyo, project=PROJECT) == [2]
    assert ids(store, project=PROJECT, experiment="lorenz", variant="fast", seed=7) == [0]
    assert store.count(Query(project=PROJECT)) == {Status.RUNNING: 1, Status.SUCCEEDED: 1, Status.FAILED: 1}
    assert store.count(Query(sweep="5eed")) == {Status.RUNNING: 1}


def test_a_date_without_a_zone_is_a_fault(store: Store) -> None:
    """Local times do not reach the store."""
    with pytest.raises(InternalError, match="without a time zone"):
        store.find(Query(since=datetime(2024, 5, 1)))


SORTED = [
    "main",
    "seed",
    "variant",
    "started_at",
    "metrics.loss",
    "seconds",
    "params",
    "status",
    "id",
    "branch",
]


@pytest.mark.parametrize("sort", [*SORTED, *(f"-{name}" for name in SORTED)])
def test_pages_by_key_join_to_the_whole(store: Store, sort: str) -> None:
    """Page after page gives every trial once, in the order of one long page; those without a value last."""
    mains = [0.5, None, math.nan, "text", 0.5, -1.0, math.inf, 2, 0, None]
    for number, main in enumerate(mains):
        outcome = trial_outcome(main=main, metrics={} if number % 3 else {"loss": number / 2})
        changes = {"seed": number % 4, "values": {"x": number % 2}, "branch": None if number % 2 else "b"}
        # the order of filing is not the order of starting
        run(store, number, outcome=outcome, started_at=at((number * 7) % 10), **changes)
    whole = ids(store, sort=sort)
    assert sorted(whole) == list(range(len(mains)))
    paged: list[int] = []
    after = None
    while page := store.find(Query(sort=sort, limit=3, after=after)):
        paged += [int(summary.id, 16) for summary in page]
        after = page[-1].id
    assert paged == whole
    if sort == "main":
        assert whole[:6] == [5, 8, 4, 0, 7, 6]
    if sort == "-main":
        assert whole[:6] == [6, 7, 4, 0, 8, 5]


def test_nothing_comes_after_a_trial_that_is_not_there(store: Store) -> None:
    """A page after an unknown id is empty, whatever the order."""
    run(store, outcome=trial_outcome())
    for sort in ("-started_at", "main", "metrics.loss"):
        assert store.find(Query(sort=sort, after="f" * 12)) == []


def test_an_unknown_sort_is_refused(store: Store) -> None:
    """The message lists what can be sorted by."""
    with pytest.raises(Refused, match=r"'weight'.*\n.*seconds.*metrics\.NAME"):
        store.find(Query(sort="-weight"))


# -- variants ----------------------------------------------------------------------------------------


def test_the_same_content_again_is_fine(store: Store) -> None:
    """A variant keeps its version as long as its content is the same, however long it is."""
    long = variant("long", table=list(range(5_000)))
    run(store, 1, variants=(long,))
    assert store.variants(PROJECT, "lorenz", [long]) == (long,)
    run(store, 2, variants=(long,))
    [use] = store.variant_history(PROJECT)
    assert (use.trials, use.variant, use.experiment) == (2, long, "lorenz")
    assert (use.first_used_at, use.last_used_at) == (at(1), at(2))


def test_other_content_is_refused_with_the_difference(store: Store) -> None:
    """The message names the variant, old and new value, and the two ways out; nothing is filed."""
    run(store, 1, variants=(variant(dt=10, steps=3),))
    changed = variant(dt=1, order=2)
    with pytest.raises(VariantRedefined) as caught:
        store.variants(PROJECT, "lorenz", [changed])
    message = str(caught.value)
    assert "params/fast of lorenz" in message
    assert "dt: 10 -> 1" in message
    assert "steps: 3 -> (absent)" in message
    assert "new name" in message
    assert "mitosis.redefine=[params/fast]" in message
    with pytest.raises(VariantRedefined):
        store.start(trial_spec(2, variants=(changed,)), ENVIRONMENT)
    assert ids(store) == [1]


def test_every_redefined_variant_is_named(store: Store) -> None:
    """Two redefined variants are told in one message, with one way out; many changes are counted."""
    content = {f"k{n}": n for n in range(9)}
    run(store, 1, variants=(variant("a", **content), variant("b", "model", x=1)))
    changed = [variant("a", **dict.fromkeys(content, -1)), variant("b", "model", x=2)]
    with pytest.raises(VariantRedefined, match=r"(?s)and 4 more.*x: 1 -> 2.*redefine=\[params/a,model/b\]"):
        store.variants(PROJECT, "lorenz", changed)


def test_a_redefinition_files_the_next_version(store: Store) -> None:
    """Version 2 is filed, version 1 is kept and may still be used by an older commit."""
    old, new = variant(dt=1), variant(dt=2)
    run(store, 1, variants=(old,))
    [predicted] = store.variants(PROJECT, "lorenz", [new], ["params/fast"])
    assert predicted.version == 2
    filed = store.start(trial_spec(2, variants=(new,)), ENVIRONMENT, ["params/fast"])
    assert filed.variants == (predicted,)
    assert store.variants(PROJECT, "lorenz", [old, new]) == (old, predicted)
    assert store.get("@1").spec.variants == (predicted,)
    assert [(use.variant.version, use.trials) for use in store.variant_history()] == [(1, 1), (2, 1)]


def test_the_lock_is_of_project_experiment_group_and_option(store: Store) -> None:
    """The same name elsewhere is another variant."""
    run(store, 1, variants=(variant(x=1),))
    run(store, 2, variants=(variant(x=2),), project="other")
    run(store, 3, variants=(variant(x=3),), experiment="digits")
    run(store, 4, variants=(variant(group="model", x=4),))
    assert all(use.variant.version == 1 for use in store.variant_history())
    assert len(store.variant_history()) == 4
    assert len(store.variant_history("other")) == 1


def test_names_that_join_alike_stay_apart(store: Store) -> None:
    """`a/b` of group `c` and `b` of group `c/a` are two variants."""
    run(store, 1, variants=(variant("b", "c/a", x=1), variant("a/b", "c", x=2)))
    assert [use.variant.version for use in store.variant_history()] == [1, 1]


# -- sweeps and claims -------------------------------------------------------------------------------


def test_a_sweep_is_filed_once_and_counted(store: Store) -> None:
    """Size and command come from the driver, the counts from the trials."""
    store.begin_sweep("5eed", PROJECT, "mitosis -m seed=range(0,3)", 3, at(0))
    store.begin_sweep("5eed", PROJECT, "again", 9, at(9))
    run(store, 1, outcome=trial_outcome(), sweep="5eed", job=0)
    run(store, 2, sweep="5eed", job=1)
    found = store.sweep("5eed")
    assert found is not None
    assert (found.command, found.size, found.started_at) == ("mitosis -m seed=range(0,3)", 3, at(0))
    assert store.count(Query(sweep="5eed")) == {Status.RUNNING: 1, Status.SUCCEEDED: 1}
    assert store.sweep("nothing") is None


def test_a_sweep_known_by_its_trials_is_completed(store: Store) -> None:
    """A trial may come before its driver; what the driver knows is filled in."""
    run(store, 1, sweep="5eed", job=0)
    before = store.sweep("5eed")
    assert before is not None
    assert (before.command, before.size) == (None, None)
    store.begin_sweep("5eed", PROJECT, "mitosis -m", None, at(0))
    after = store.sweep("5eed")
    assert after is not None
    assert after.command == "mitosis -m"


def test_a_sweep_of_another_machine_is_not_the_latest(store: Store) -> None:
    """It is known by its trials alone, and nobody knows when it began."""
    store.begin_sweep("5eed", PROJECT, "mitosis -m", 1, at(0))
    run(store, 1, sweep="5eed", job=0)
    run(store, 2, sweep="0ther", job=0)
    latest = store.latest_sweep(None, PROJECT)
    assert latest is not None and latest.id == "5eed"
    store.begin_sweep("6eed", PROJECT, "mitosis -m", 1, at(1))
    assert store.unbegun_sweep(PROJECT) == "6eed"


def test_a_sweep_holds_what_stands_for_its_jobs(store: Store) -> None:
    """An earlier trial, and its own; found by the whole id and by its beginning."""
    for number, sweep in ((1, "5eed00000000"), (2, "5eed00000000"), (3, "0ther0000000")):
        run(store, number, sweep=sweep, job=number)
    store.begin_sweep("aeed00000000", PROJECT, "mitosis -m", 2, at(0))
    run(store, 4, sweep="aeed00000000", job=0)
    store.stand_in("aeed00000000", 1, f"{2:012x}")
    for name in ("aeed00000000", "aeed"):
        assert sorted(int(line.id, 16) for line in store.find(Query(sweep=name))) == [2, 4]
        assert sum(store.count(Query(sweep=name)).values()) == 2


def test_a_job_is_claimed_once(store: Store) -> None:
    """The second execution of a job is refused with the name of the first, and leaves no row."""
    run(store, 1, sweep="5eed", job=0)
    with pytest.raises(
        JobTaken, match=r"job 0 of the sweep 5eed is the trial 000000000001, which is running"
    ):
        run(store, 2, sweep="5eed", job=0)
    assert ids(store) == [1]
    run(store, 3, sweep="5eed", job=1)
    run(store, 4, sweep="other", job=0)
    run(store, 5, sweep="5eed", job=None)


def test_a_dead_claim_is_taken_over_by_name(store: Store) -> None:
    """Only a trial that is over, and that was meant, is replaced in its claim; its own row stays."""
    first = run(store, 1, sweep="5eed", job=0)
    claim = trial_spec(2, sweep="5eed", job=0)
    with pytest.raises(JobTaken):
        store.start(claim, ENVIRONMENT, replaces=first)
    store.finish(first, trial_outcome(status=Status.LOST))
    with pytest.raises(JobTaken):
        store.start(claim, ENVIRONMENT, replaces="f" * 12)
    store.start(claim, ENVIRONMENT, replaces=first)
    holder = store.claimed("5eed", 0)
    assert holder is not None
    assert holder.id == claim.id
    assert ids(store, sweep="5eed") == [2, 1]
    assert store.claimed("5eed", 1) is None


# -- the cache of digests ----------------------------------------------------------------------------

OLD = 1_700_000_000_123_456_789
KEY = (2049, 77, 1000, OLD, OLD)


def test_a_digest_is_found_by_the_state_of_its_file(store: Store) -> None:
    """Found before and after it is written, and by another process's store; any change of state misses."""
    cache = store.digests()
    assert cache.get(KEY) is None
    cache.put(KEY, "d" * 64)
    assert cache.get(KEY) == "d" * 64
    store.close()
    other = pickle.loads(pickle.dumps(store)).digests()
    assert other.get(KEY) == "d" * 64
    for position in range(5):
        changed = list(KEY)
        changed[position] += 1
        assert other.get(tuple(changed)) is None


def test_a_changed_file_replaces_its_digest(store: Store) -> None:
    """One row for a file: the table does not grow with every change."""
    cache = store.digests()
    later = (*KEY[:2], 2000, OLD + 5, OLD + 5)
    cache.put(KEY, "a" * 64)
    cache.flush()
    cache.put(KEY, "a" * 64)
    cache.put(later, "b" * 64)
    cache.flush()
    found = cache.get_many([KEY, later])
    assert (found.get(KEY), found.get(later)) == (None, "b" * 64)


def test_thousands_of_digests_at_once(store: Store) -> None:
    """Numbers of files beyond 63 bits and several devices are kept; one question finds them all."""
    cache = store.digests()
    keys = [(n % 3, 2**64 - 1 - n, n, OLD, OLD) for n in range(3_000)]
    for key in keys:
        cache.put(key, f"{key[2]:064x}")
    cache.flush()
    found = cache.get_many(keys)
    assert {key: found.get(key) for key in keys} == {key: f"{key[2]:064x}" for key in keys}


def test_a_file_changed_a_moment_ago_is_not_remembered(store: Store) -> None:
    """Its times move in steps, so a second change might not show."""
    cache = store.digests()
    now = time.time_ns()
    cache.put((*KEY[:3], now, OLD), "a" * 64)
    cache.put((*KEY[:3], OLD, now + 10**9), "a" * 64)
    whole_seconds = now // 10**9 * 10**9
    cache.put((*KEY[:3], whole_seconds, whole_seconds), "a" * 64)
    cache.flush()
    assert cache.get((*KEY[:3], now, OLD)) is None
    assert cache.get((*KEY[:3], whole_seconds, whole_seconds)) is None


# -- processes ---------------------------------------------------------------------------------------


def test_a_store_is_pickled_and_copied(store: Store) -> None:
    """A copy in another process, or by copy, is the same store."""
    run(store)
    for other in (pickle.loads(pickle.dumps(store)), copy.deepcopy(store)):
        assert other.get("@1") == store.get("@1")
        assert repr(other) == repr(store)


def test_a_store_survives_a_fork(store: Store) -> None:
    """Parent and child write through the same object without harm."""
    run(store, 1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.finish(trial_spec(1).id, trial_outcome())
            store.start(trial_spec(2), ENVIRONMENT)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    run(store, 3)
    assert ids(store) == [3, 2, 1]
    assert store.get(trial_spec(1).id).status is Status.SUCCEEDED


def test_importing_the_store_loads_no_database(tmp_path: Path) -> None:
    """`import mitosis.store` is cheap, and a store that is there opens without alembic and reflection."""
    code = (
        "import sys, mitosis.store\n"
        "assert 'sqlalchemy' not in sys.modules\n"
        "mitosis.store.Query(); mitosis.store.display_url('/x.db')\n"
        "assert 'sqlalchemy' not in sys.modules\n"
        "store = mitosis.store.Store.open(sys.argv[1])\n"
        "store.find(mitosis.store.Query())\n"
        "assert 'sqlalchemy.orm' not in sys.modules and 'alembic' not in sys.modules\n"
        "assert 'hydra' not in sys.modules and 'git' not in sys.modules\n"
    )
    for _ in range(2):  # made, then opened
        command = [sys.executable, "-c", code, str(tmp_path / "x.db")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# -- addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/data/a b?c#d%41.db", "sqlite:////data/a b?c#d%41.db"),
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
        ("sqlite+pysqlite:////data/x.db", "sqlite:////data/x.db"),
        (Path("/data/sqlite:x.db"), "sqlite:////data/sqlite:x.db"),
        ("postgresql://u:s3cret@h:5433/db", "postgresql+psycopg://u@h:5433/db"),
        ("postgresql+psycopg://u:s%40cret@h/db?password=s3cret&application_name=x", None),
        ("postgresql+psycopg:///db?service=lab", "postgresql+psycopg:///db?service=lab"),
    ],
)
def test_an_address_is_shown_without_its_password(given: str | Path, shown: str | None) -> None:
    """What is shown is a URL that works, names the same store, and holds no secret."""
    answer = display_url(given)
    assert shown is None or answer == shown
    assert "cret" not in answer
    assert display_url(answer) == answer
    assert password_in(given) == ("cret" in str(given))
    assert not password_in(answer)


def test_a_relative_path_is_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name and `sqlite:///name` mean the file in the working directory, for good."""
    monkeypatch.chdir(tmp_path)
    assert display_url("x.db") == display_url("sqlite:///x.db") == f"sqlite:///{tmp_path}/x.db"
    store = Store.open("deep/er/x.db")
    monkeypatch.chdir("/")
    run(store)
    assert (tmp_path / "deep" / "er" / "x.db").is_file()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:x.db",
        "mysql://u:s3cret@h/db",
        "postgres://u:s3cret@h/db",
        "postgresql+psycopg2://u:s3cret@h/db",
        "postgresql:u:s3cret@h/db",
        "postgresql://u:s3cret@h:port/db",
        "https://u:s3cret@h/db",
    ],
)
def test_what_is_no_address_of_a_store_is_refused(given: str) -> None:
    """The message says which forms there are, and shows no password."""
    with pytest.raises(StoreRefused, match=r"sqlite:////absolute/file\.db") as caught:
        Store.open(given)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)
