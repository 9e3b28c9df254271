"""Which execution of a job counts, and what is settled without its launcher; on real stores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitosis import agreement, claim, closing, jobs, settle
from mitosis.capture import environment
from mitosis.errors import JobTaken, StoreAway, StoreUnseen, WorkerRefused
from mitosis.folder import TrialFolder
from mitosis.gate import Verdict
from mitosis.patience import patiently
from mitosis.pending import announce
from mitosis.store import Store
from mitosis.trial import Outcome, Status, Trial, TrialSpec, new_id, plain, utc_now
from tests.conftest import Repository
from tests.store_values import BACKENDS, ENVIRONMENT, database, trial_outcome, trial_spec

SWEEP = "5eed00000000"


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with database(request.param, tmp_path) as url, Store.open(url) as made:
        yield made


def job(root: Path, **changes: object) -> TrialSpec:
    """The spec of job 0 of the sweep, by this process, with a folder."""
    trial = new_id()
    given = {
        "id": trial,
        "sweep": SWEEP,
        "job": 0,
        "folder": str(root / "lorenz" / trial),
        "process": environment.host_process(),
        "started_at": utc_now(),
        "settings": {},
        **changes,
    }
    spec = dataclasses.replace(trial_spec(), **given)  # type: ignore[arg-type]
    TrialFolder.create(root, "lorenz", trial, plain(Trial(spec)))
    return spec


def verdict(spec: TrialSpec, url: str = "", **changes: object) -> Verdict:
    found = Verdict(spec.code, "/", url, "1", SWEEP)
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


def begin(store: Store, spec: TrialSpec, found: Verdict) -> TrialSpec:
    return store.start(spec, ENVIRONMENT, replaces=claim.replaced(store, spec, found))


def test_a_refusal_of_a_job_that_runs_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """An engine's second execution may be refused for a reason that the first one did not have."""
    spec = job(tmp_path)
    begin(store, spec, verdict(spec))
    here = verdict(spec, store.url, root=str(tmp_path))
    with pytest.raises(JobTaken):
        jobs.record_refusal(here, "lorenz", None, 0, WorkerRefused("another commit", "check it out"))
    assert [folder.name for folder in (tmp_path / "lorenz").iterdir()] == [spec.id]


DEAD = {"pid": 2**22 + 1, "started": 1.0}  # beyond the numbers that Linux gives


def test_a_second_execution_stands_back_from_one_that_runs(store: Store, tmp_path: Path) -> None:
    """It raises JobTaken, naming the trial; nothing is recorded of it."""
    first, second = job(tmp_path), job(tmp_path)
    begin(store, first, verdict(first))
    with pytest.raises(JobTaken, match=first.id):
        begin(store, second, verdict(second))
    assert [trial.id for trial in store.running()] == [first.id]


@pytest.mark.parametrize("end", [Status.SUCCEEDED, Status.FAILED, Status.TIMED_OUT, Status.DIED])
def test_a_second_execution_stands_back_from_one_that_ended(
    store: Store, tmp_path: Path, end: Status
) -> None:
    """However it ended by itself, it was recorded once: engines run jobs again that were over."""
    first, second = job(tmp_path), job(tmp_path)
    begin(store, first, verdict(first))
    store.finish(first.id, Outcome(end, utc_now()))
    with pytest.raises(JobTaken):
        begin(store, second, verdict(second))


@pytest.mark.parametrize("end", [Status.LOST, Status.INTERRUPTED])
def test_a_second_execution_takes_over_what_was_cut_off(store: Store, tmp_path: Path, end: Status) -> None:
    """The claim is that of the second trial; the first stays as it ended."""
    first, second = job(tmp_path), job(tmp_path)
    begin(store, first, verdict(first))
    store.finish(first.id, Outcome(end, utc_now()))
    begin(store, second, verdict(second))
    holder = store.claimed(SWEEP, 0)
    assert holder is not None and holder.id == second.id
    assert store.get(first.id).status is end


def test_a_dead_launcher_s_job_is_taken_over(store: Store, tmp_path: Path) -> None:
    """The first trial is lost as soon as the second execution looks."""
    first = job(tmp_path, process=dataclasses.replace(environment.host_process(), **DEAD))
    second = job(tmp_path)
    begin(store, first, verdict(first))
    begin(store, second, verdict(second))
    assert store.get(first.id).status is Status.LOST


def test_a_resumed_sweep_runs_again_what_failed_before(store: Store, tmp_path: Path) -> None:
    """What failed before it was resumed is replaced; a second execution of the replacement stands back."""
    first, second, third = (
        job(tmp_path, started_at="2024-01-01T00:00:00.000+00:00"),
        job(tmp_path),
        job(tmp_path),
    )
    begin(store, first, verdict(first))
    store.finish(first.id, Outcome(Status.FAILED, utc_now()))
    resumed = verdict(second, resumed=True, began="2024-01-02T00:00:00.000+00:00")
    begin(store, second, resumed)
    store.finish(second.id, Outcome(Status.FAILED, utc_now()))
    with pytest.raises(JobTaken):
        begin(store, third, resumed)


def test_the_folder_is_the_truth(store: Store, tmp_path: Path) -> None:
    """A trial whose folder tells its end is ended by the next look, though its launcher still runs."""
    spec = job(tmp_path)
    begin(store, spec, verdict(spec))
    folder = TrialFolder(spec.folder)
    outcome = trial_outcome(main=0.25, files={})
    folder.write_json(folder.outcome, plain(outcome))
    folder.write_json(folder.trial_json, plain(Trial(spec, outcome)))
    (closed,) = settle.settle(store, None)
    assert (closed.id, store.get(spec.id).outcome) == (spec.id, outcome)


def test_a_row_that_the_store_lost_is_filed_at_the_end(store: Store, tmp_path: Path) -> None:
    """A server that crashed has forgotten what was filed last; the launcher knows it."""
    spec = job(tmp_path)
    closed = closing.close(store, spec, trial_outcome(main=1.0))
    assert store.get(spec.id).outcome == closed.outcome
    assert store.standing(SWEEP, 0, 0)[0].id == spec.id


@pytest.mark.parametrize("complete", [False, True])
def test_a_trial_that_ended_without_store_is_filed_by_the_next_look(
    store: Store, tmp_path: Path, complete: bool
) -> None:
    """Its row may be lost with the server; its launcher may still run other trials."""
    spec = job(tmp_path)
    folder, told = TrialFolder(spec.folder), Trial(spec, trial_outcome(main=0.25, files={}))
    assert told.outcome is not None
    if complete:
        closing.complete(folder, told)
    else:
        folder.write_json(folder.trial_json, plain(told))
    word = announce(tmp_path, spec.id, folder, plain(spec.process))
    (closed,) = settle.settle(store, tmp_path)
    assert (closed.id, closed.status) == (spec.id, Status.SUCCEEDED)
    assert (store.get(spec.id).outcome, word.exists()) == (closed.outcome, False)


def test_a_folder_without_row_waits_for_its_launcher(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is alive will file it; one on another host is given up when its word is old."""
    process = dataclasses.replace(environment.host_process(), host="elsewhere")
    words = []
    for spec in (job(tmp_path), job(tmp_path, job=1, process=process)):
        words.append(announce(tmp_path, spec.id, TrialFolder(spec.folder), plain(spec.process)))
    assert settle.settle(store, tmp_path) == []
    monkeypatch.setattr(settle, "SILENT_SECONDS", 0.0)
    (closed,) = settle.settle(store, tmp_path)
    assert (closed.id, closed.status) == (spec.id, Status.LOST)
    assert [word.exists() for word in words] == [True, False]


def test_a_silent_host_is_given_up(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial of another host is lost when it was not heard of for long, and left alone before."""
    spec = job(tmp_path, process=dataclasses.replace(environment.host_process(), host="elsewhere"))
    begin(store, spec, verdict(spec))
    assert settle.settle(store, None) == []
    monkeypatch.setattr(settle, "SILENT_SECONDS", 0.0)
    (closed,) = settle.settle(store, None)
    assert closed.status is Status.LOST


def test_a_folder_that_cannot_be_read_costs_no_command(store: Store, tmp_path: Path) -> None:
    """It is another user's, who will end the trial."""
    spec = job(tmp_path, process=dataclasses.replace(environment.host_process(), **DEAD))
    begin(store, spec, verdict(spec))
    TrialFolder(spec.folder).outcome.mkdir()
    assert settle.settle(store, tmp_path) == []
    assert store.get(spec.id).status is Status.RUNNING


def test_patience_ends(tmp_path: Path) -> None:
    """What stays away is told after the time that was given; what comes back is answered."""
    asked = []

    def away() -> int:
        asked.append(1)
        if len(asked) < 3:
            raise StoreAway("away")
        return len(asked)

    assert patiently(away, 60) == 3
    asked.clear()
    with pytest.raises(StoreAway):
        patiently(away, -1)


def test_a_server_that_is_not_there_is_away() -> None:
    """A refused connection is worth waiting for; nothing else is."""
    pytest.importorskip("psycopg")
    with pytest.raises(StoreAway, match="cannot be used"):
        Store.open("postgresql+psycopg://nobody@127.0.0.1:1/nothing")


@pytest.fixture
def agreed(tmp_path: Path, repository: Repository) -> Verdict:
    """What a driver found in a repository, with the sweep in its store."""
    from mitosis import gate
    from mitosis.settings import Settings

    return gate.check(repository.path, Settings(), gate.Sweep(SWEEP, ("-m",), elsewhere=True))


def test_a_worker_that_sees_the_same_agrees(agreed: Verdict) -> None:
    """Nothing is refused where nothing differs."""
    agreement.check(agreed)


def test_a_worker_with_another_mitosis_refuses(agreed: Verdict) -> None:
    """The message names both versions."""
    with pytest.raises(WorkerRefused, match=r"the driver runs 0\.1"):
        agreement.check(dataclasses.replace(agreed, version="0.1"))


def test_a_worker_without_the_sweep_has_another_store(agreed: Verdict, tmp_path: Path) -> None:
    """A store of the same name on another host does not know the sweep; none is made."""
    other = tmp_path / "other.db"
    with pytest.raises(StoreUnseen, match="does not hold the sweep"):
        agreement.check(dataclasses.replace(agreed, store=f"sqlite:///{other}"))
    assert not other.exists()


def test_a_worker_with_other_code_refuses(agreed: Verdict, repository: Repository) -> None:
    """A checkout that was changed, or that is not there, runs nothing; nor does another commit in place."""
    tree = Path(agreed.code.tree)
    gone = dataclasses.replace(agreed.code, tree=str(tree) + "-gone")
    with pytest.raises(WorkerRefused, match="is not there"):
        agreement.check(dataclasses.replace(agreed, code=gone))
    (tree / "code.py").chmod(0o644)
    (tree / "code.py").write_text("x = 2\n")
    with pytest.raises(WorkerRefused, match=r"changed code\.py"):
        agreement.check(agreed)
    in_place = dataclasses.replace(agreed.code, tree=str(repository.path))
    repository.commit("later")
    with pytest.raises(WorkerRefused, match="the driver started from"):
        agreement.check(dataclasses.replace(agreed, code=in_place))


def test_the_password_of_the_environment_does_not_travel(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is pickled for the workers holds no password; libpq finds it in the environment."""
    from mitosis import gate
    from mitosis.settings import Settings

    monkeypatch.setenv("PGPASSWORD", "")
    monkeypatch.setenv("MITOSIS_STORE", "postgresql://ada:s3cret@127.0.0.1:1/lab")
    url = gate._store(repository.path, repository.path / "trials", Settings())
    assert "s3cret" not in url
    import os

    assert os.environ["PGPASSWORD"] == "s3cret"


def test_closing_twice_ends_once(store: Store, tmp_path: Path) -> None:
    """A trial that was filed by somebody else meanwhile stays as it was filed."""
    spec = job(tmp_path)
    begin(store, spec, verdict(spec))
    first = closing.close(store, spec, trial_outcome(main=1.0))
    closing.close(store, spec, trial_outcome(main=2.0))
    assert first.outcome is not None
    assert store.get(spec.id).outcome == first.outcome
