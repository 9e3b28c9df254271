"""Many processes on one store at once: nothing is lost, nothing is filed twice, nobody is turned away."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from mitosis.errors import JobTaken, StoreRefused, VariantRedefined
from mitosis.store import Query, Store, connect, schema, setup
from mitosis.store.address import read
from mitosis.trial import Status
from tests.store_values import BACKENDS, ENVIRONMENT, database, trial_outcome, trial_spec, variant

PROJECT = "https://example.org/lab.git"
TRIALS = 25
MOST = 5_000

Work = Callable[[str, int], Any]


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


def crowd(number: int, work: Work, url: str) -> list[Any]:
    """What `work(url, n)` gave, or the error it raised, in each of `number` processes that begin at once."""
    fork = multiprocessing.get_context("fork")
    gate = fork.Barrier(number)
    pipes = [fork.Pipe(duplex=False) for _ in range(number)]
    processes = [
        fork.Process(target=_join, args=(gate, work, url, n, sender)) for n, (_, sender) in enumerate(pipes)
    ]
    for process, (_, sender) in zip(processes, pipes, strict=True):
        process.start()
        sender.close()  # so that a process that dies is an end of file here
    answers = [receiver.recv() for receiver, _ in pipes]
    for process in processes:
        process.join()
    return answers


def _join(gate: Barrier, work: Work, url: str, number: int, sender: Connection) -> None:
    gate.wait()
    try:
        sender.send(work(url, number))
    except BaseException as error:
        sender.send(error)


def whole(url: str) -> bool:
    """Whether the database finds no damage in itself."""
    path = read(url).path
    if path is None:
        return True
    with closing(sqlite3.connect(path)) as connection:
        intact = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return intact and connection.execute("PRAGMA foreign_key_check").fetchall() == []


def _trials(url: str, number: int) -> list[str]:
    done = []
    for count in range(TRIALS):
        with Store.open(url) as store:
            spec = trial_spec(number * TRIALS + count, seed=count, sweep="5eed", job=number * TRIALS + count)
            store.start(spec, ENVIRONMENT)
            store.heartbeat(spec.id)
            assert store.finish(spec.id, trial_outcome(metrics={"n": float(number)}))
            done.append(spec.id)
    return done


@pytest.mark.parametrize("writers", [4, 16, pytest.param(32, marks=pytest.mark.slow)])
def test_writers_lose_nothing_from_the_first_use_on(url: str, writers: int) -> None:
    """The store is made once by all of them, and every trial of each is there, finished, once."""
    answers = crowd(writers, _trials, url)
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []
    with Store.open(url) as store:
        found = store.find(Query())
        assert {summary.id for summary in found} == {trial for answer in answers for trial in answer}
        assert store.count(Query(sweep="5eed")) == {Status.SUCCEEDED: writers * TRIALS}
        assert Counter(summary.metrics["n"] for summary in found) == dict.fromkeys(range(writers), TRIALS)
        assert len({summary.param_set for summary in found}) == 1
        [use] = store.variant_history()
        assert use.trials == writers * TRIALS
    assert whole(url)


def _open(url: str, number: int) -> int:
    with Store.open(url) as store:
        return len(store.find(Query()))


def test_a_store_is_made_once(url: str) -> None:
    """32 processes that all come first find one store."""
    assert crowd(32, _open, url) == [0] * 32
    path = read(url).path
    if path is not None:
        assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]
    assert whole(url)


def _lock(url: str, number: int) -> int:
    with Store.open(url) as store:
        mine = (variant(x=number), variant("svm", "model", y=1))
        return store.start(trial_spec(number, variants=mine), ENVIRONMENT).variants[0].version


def test_a_name_is_locked_by_one(url: str) -> None:
    """Of many contents under one name at once, one is filed; the others see the difference."""
    answers = crowd(8, _lock, url)
    assert Counter(type(answer) for answer in answers) == {int: 1, VariantRedefined: 7}
    winner = next(n for n, answer in enumerate(answers) if answer == 1)
    assert all(f"x: {winner} -> {n}" in str(a) for n, a in enumerate(answers) if n != winner)
    with Store.open(url) as store:
        assert [trial.id for trial in store.running()] == [trial_spec(winner).id]
    assert whole(url)


def _same(url: str, number: int) -> int:
    with Store.open(url) as store:
        order = (variant(), variant("svm", "model", y=1))
        mine = order if number % 2 else order[::-1]
        spec = store.start(trial_spec(number, variants=mine), ENVIRONMENT)
        return sum(filed.version for filed in spec.variants)


def test_the_same_content_is_locked_by_all(url: str) -> None:
    """Many that lock the same names to the same content, in any order, are all let through."""
    assert crowd(8, _same, url) == [2] * 8
    with Store.open(url) as store:
        assert [use.trials for use in store.variant_history()] == [8, 8]


def _redefine(url: str, number: int) -> int:
    with Store.open(url) as store:
        spec = trial_spec(number, variants=(variant(x=number),))
        return store.start(spec, ENVIRONMENT, ["params/fast"]).variants[0].version


def test_versions_are_numbered_without_gaps(url: str) -> None:
    """Many that redefine at once get a version each."""
    versions = crowd(8, _redefine, url)
    assert sorted(versions, key=str) == [1, 2, 3, 4, 5, 6, 7, 8], versions
    with Store.open(url) as store:
        assert [use.trials for use in store.variant_history()] == [1] * 8


def _claim(url: str, number: int) -> str:
    with Store.open(url) as store:
        return store.start(trial_spec(number, sweep="5eed", job=3), ENVIRONMENT).id


def test_a_job_is_claimed_by_one(url: str) -> None:
    """Of many executions of one job, one is filed; the others are told which."""
    answers = crowd(8, _claim, url)
    assert Counter(type(answer) for answer in answers) == {str: 1, JobTaken: 7}
    [winner] = [answer for answer in answers if isinstance(answer, str)]
    assert all(winner in str(answer) for answer in answers)
    with Store.open(url) as store:
        holder = store.claimed("5eed", 3)
        assert holder is not None
        assert holder.id == winner
        assert store.count(Query()) == {Status.RUNNING: 1}


def _finish(url: str, number: int) -> bool:
    with Store.open(url) as store:
        return store.finish(trial_spec().id, trial_outcome(main=number))


def test_a_trial_ends_once(url: str) -> None:
    """Of many ends, one is written, and it is the one that stays."""
    with Store.open(url) as store:
        store.start(trial_spec(), ENVIRONMENT)
    answers = crowd(8, _finish, url)
    assert sorted(answers) == [False] * 7 + [True]
    with Store.open(url) as store:
        assert store.find(Query())[0].main == answers.index(True)


def _takeover(url: str, number: int) -> str:
    with Store.open(url) as store:
        spec = trial_spec(number + 1, sweep="5eed", job=0)
        return store.start(spec, ENVIRONMENT, replaces=trial_spec(0).id).id


def test_a_dead_claim_is_taken_by_one(url: str) -> None:
    """Of many that would follow a dead trial, one does."""
    with Store.open(url) as store:
        store.start(trial_spec(0, sweep="5eed", job=0), ENVIRONMENT)
        store.finish(trial_spec(0).id, trial_outcome(status=Status.LOST))
    assert Counter(type(answer) for answer in crowd(8, _takeover, url)) == {str: 1, JobTaken: 7}


def _write_or_upgrade(url: str, number: int) -> list[str]:
    """Every other process upgrades the store once it holds a trial; the rest file trials until told off."""
    address = read(url)
    assert address.path is not None
    if number % 2:
        store = Store.open(url)
        while not store.find(Query(limit=1)):
            pass
        plan = setup.Plan((*schema.VERSIONS, "9999"), (*setup.Plan().migrations, address.path.parent / "m"))
        setup.prepare(connect.make_engine(address), address, plan)
        return []
    filed: list[str] = []
    try:
        store = Store.open(url)
        while len(filed) < MOST:  # the upgrade comes long before
            spec = trial_spec(number * 100_000 + len(filed))
            filed.append(store.start(spec, ENVIRONMENT).id)
    except StoreRefused as error:
        assert "schema 9999" in str(error)
    return filed


def test_an_upgrade_among_writers_loses_nothing(tmp_path: Path) -> None:
    """Trials that were filed before the upgrade are in the store after it; later ones are refused."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "v9999_second.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision = '9999'\ndown_revision = '{schema.VERSIONS[-1]}'\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('trials', recreate='always') as batch:\n"
        "        batch.add_column(sa.Column('mood', sa.Text()))\n"
    )
    path = tmp_path / "x.db"
    Store.open(path)
    answers = crowd(8, _write_or_upgrade, str(path))
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []
    with closing(sqlite3.connect(path)) as connection:
        rows = {row[0] for row in connection.execute("SELECT id FROM trials WHERE mood IS NULL")}
        stamp = connection.execute("SELECT version_num FROM schema_version").fetchall()
    assert rows
    assert rows == {trial for answer in answers for trial in answer}
    assert stamp == [("9999",)]
    assert whole(str(path))
