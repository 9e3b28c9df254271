"""One sweep on every launcher: what ends how, who ran it, and what becomes of it when something is killed."""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine

from tests.engines import postgresql as postgresql_engine
from tests.engines import required, zoo
from tests.engines import slurm as slurm_engine
from tests.engines.engine import runs, until
from tests.engines.zoo import Zoo, ended
from tests.store_values import database_on

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.engines]

LAUNCHERS = {
    "basic": ("hydra/launcher=basic",),
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit_local": ("hydra/launcher=submitit_local",),
    "submitit_slurm": ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=debug"),
    "ray": ("hydra/launcher=ray", "+hydra.launcher.ray.remote.scheduling_strategy=SPREAD"),
}
WORKERS = [name for name in LAUNCHERS if name != "basic"]
SHARED = [name for name in LAUNCHERS if name not in ("submitit_slurm", "ray")]  # one machine: SQLite is sound

ENDS = {
    "slow": "succeeded",
    "fine": "succeeded",
    "fails": "failed",
    "refused": "failed",
    "exits": "failed",
    "dies": "died",
}
MISSING = "mitosis.rerun=missing"


def launcher(name: str, request: pytest.FixtureRequest) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words of the command line that choose the launcher, and the environment of its engine."""
    family = name.partition("_")[0]
    if family != "basic":
        required.plugin(family)
    if name == "submitit_slurm":
        return LAUNCHERS[name], request.getfixturevalue("slurm").env
    if name == "ray":
        cluster = request.getfixturevalue("ray")
        return (*LAUNCHERS[name], f"hydra.launcher.ray.init.address={cluster.address!r}"), cluster.env
    return LAUNCHERS[name], {}


def make(
    name: str, path: Path, request: pytest.FixtureRequest, server: postgresql_engine.Server | None, url: str
) -> Zoo:
    words, env = launcher(name, request)
    if server is None:
        return zoo.make(path, words, env)
    return zoo.make(path, words, {**env, **server.env, "MITOSIS_STORE": url})


@contextmanager
def reached(server: postgresql_engine.Server) -> Iterator[None]:
    """This process finds the password as well."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Zoo]:
    """The zoo on the launcher of the test and a PostgreSQL."""
    server = request.getfixturevalue("postgresql")
    with reached(server), database_on(server.url) as url:
        yield make(request.param, tmp_path, request, server, url)


@pytest.fixture
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Zoo]:
    """The zoo on the launcher and the store of the test."""
    name, kind = request.param
    if kind == "sqlite":
        yield make(name, tmp_path, request, None, "")
        return
    server = request.getfixturevalue("postgresql")
    with reached(server), database_on(server.url) as url:
        yield make(name, tmp_path, request, server, url)


EVERYWHERE = [
    *itertools.product(LAUNCHERS, ["postgresql"]),
    *itertools.product(SHARED, ["sqlite"]),
]


@pytest.mark.parametrize("anywhere", EVERYWHERE, indirect=True, ids="-".join)
def test_a_sweep_is_recorded_job_by_job(anywhere: Zoo) -> None:
    """Twelve jobs of every kind: each has its status, one row, its host, the commit of the start; exit 2."""
    commit = anywhere.repository.git("rev-parse", "HEAD")
    process = anywhere.start(f"params={','.join(ENDS)}", "seed=0,1", OMP_NUM_THREADS="1")
    anywhere.begun("slow", 0)
    anywhere.repository.write("zoo.py", "raise RuntimeError('edited after the start')\n")
    anywhere.repository.write("conf/params/fine.yaml", "kind: fails\n")
    anywhere.go()
    done = ended(process)
    found = anywhere.whole()
    assert done.returncode == 2, done.stdout + done.stderr
    assert {tuple(t["overrides"]): t["status"] for t in found} == {
        ("experiment=zoo", f"params={kind}", f"seed={seed}"): end
        for kind, end in ENDS.items()
        for seed in (0, 1)
    }, done.stdout + done.stderr
    assert sorted(t["job"] for t in found) == list(range(12))
    for trial in (t for t in found if t["status"] != "succeeded"):  # told when it happens, with its page
        assert f"{trial['status']} " in done.stdout and trial["id"][:7] in done.stdout, done.stdout
    assert "ValueError: the experiment gives up" in done.stdout + done.stderr
    assert {t["commit"] for t in found} == {commit}
    assert all(t["main"] == t["seed"] for t in found if t["status"] == "succeeded")
    assert {t["host"] for t in found} == {socket.gethostname()}
    assert all(t["variables"]["OMP_NUM_THREADS"] == "1" for t in found)
    assert all(t["environment"]["content"]["variables"]["OMP_NUM_THREADS"] == "1" for t in found)
    _on_every_node(found, anywhere)


def _on_every_node(found: list[dict[str, Any]], where: Zoo) -> None:
    """The engine's own names for the job and the node are recorded, and both nodes had work."""
    engines = [t["engine"] for t in found]
    if "hydra/launcher=submitit_slurm" in where.launcher:
        assert {e["slurm_node"] for e in engines} == set(slurm_engine.NODES)
        assert len({e["slurm_job"] for e in engines}) == 12
    elif "hydra/launcher=ray" in where.launcher:
        assert len({e["ray_node"] for e in engines}) == 2
    else:
        assert engines == [{}] * 12


@pytest.mark.parametrize("anywhere", EVERYWHERE, indirect=True, ids="-".join)
def test_a_killed_driver_is_followed_by_the_same_command(anywhere: Zoo) -> None:
    """After SIGKILL in the middle, the same command runs what is missing, and only that; exit 0."""
    jobs = ("params=fine,slow", "seed=0,1")
    process = anywhere.start(*jobs)
    anywhere.begun("slow", 0)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()  # its output stays open: workers of joblib outlive it
    before = {t["id"] for t in anywhere.trials() if t["status"] == "succeeded"}
    workers = {document["spec"]["process"]["pid"] for document in anywhere.documents()}
    anywhere.go()
    done = anywhere.sweep(*jobs, MISSING)
    assert done.returncode == 0, done.stdout + done.stderr
    for seed in (0, 1):  # each job says which trial stands for it, or why it is run
        told = f"zoo fine seed={seed}: "
        assert f"stands for {told}main=" in done.stdout or f"{told}running (" in done.stdout, done.stdout
    until(
        lambda: all(t["status"] != "running" for t in anywhere.trials()),
        "the end of what outlived the driver",
    )
    found = anywhere.trials()
    succeeded = {(t["variant"], t["seed"]) for t in found if t["status"] == "succeeded"}
    assert succeeded == set(itertools.product(("fine", "slow"), (0, 1)))
    again = {(t["variant"], t["seed"]) for t in found if t["id"] not in before and t["status"] == "succeeded"}
    assert not again & {(t["variant"], t["seed"]) for t in found if t["id"] in before} - _outlived(found)
    zoo.close(process)
    if "hydra/launcher=ray" not in anywhere.launcher:  # its workers are the cluster's
        until(lambda: not any(runs(pid) for pid in workers), "the end of the workers without driver")
    claimed = Counter((t["sweep"], t["job"]) for t in anywhere.whole() if t["status"] != "lost")
    assert set(claimed.values()) == {1}


def _outlived(found: list[dict[str, Any]]) -> set[tuple[str, int]]:
    """What jobs of the first sweep and of the second ran at once: the first could not know of the second."""
    return {
        (a["variant"], a["seed"])
        for a, b in itertools.permutations(found, 2)
        if (a["variant"], a["seed"]) == (b["variant"], b["seed"]) and a["sweep"] != b["sweep"]
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("group", [False, True])
def test_an_interrupted_joblib_sweep_saves_its_trials(
    number: int, group: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Ctrl-C in a terminal and a scheduler's SIGTERM, to the driver or to all its processes; exit 130."""
    where = make("joblib", tmp_path, request, None, "")
    process = where.start("params=slow", "seed=0,1,2,3")
    where.begun("slow", 0)
    where.begun("slow", 1)
    (os.killpg if group else os.kill)(process.pid, number)
    done = ended(process)
    assert done.returncode == 130, done.stdout + done.stderr
    assert [t["status"] for t in where.trials()] == ["interrupted"] * 2, done.stdout + done.stderr
    assert "not begun         2" in done.stdout and "KeyboardInterrupt" in done.stdout
    checked = where.repository.run("check", **where.env)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("anywhere", [e for e in EVERYWHERE if e[0] in WORKERS], indirect=True, ids="-".join)
def test_a_killed_worker_costs_its_own_job(anywhere: Zoo) -> None:
    """Its trial is lost, what never began and the later batch run all the same; exit 2, nothing hangs."""
    process = anywhere.start("params=slow,fine", "seed=0,1,2", "hydra.sweeper.max_batch_size=3")
    anywhere.begun("slow", 0)
    os.kill(anywhere.process_of("slow", 0)["pid"], signal.SIGKILL)
    anywhere.go()
    done = ended(process)
    found = {(t["variant"], t["seed"]): t["status"] for t in anywhere.trials()}
    assert done.returncode == 2, done.stdout + done.stderr
    assert found[("slow", 0)] == "lost", done.stdout + done.stderr
    assert len(found) == len(anywhere.trials()) == 6, done.stdout + done.stderr
    assert {found[("fine", seed)] for seed in (0, 1, 2)} == {"succeeded"}
    others = {found[("slow", seed)] for seed in (1, 2)}
    # joblib ends all its workers with one of them: what they ran is lost with it, what waited is not
    assert others <= (
        {"succeeded", "lost"} if "hydra/launcher=joblib" in anywhere.launcher else {"succeeded"}
    )


@pytest.mark.parametrize("shared", ["submitit_slurm"], indirect=True)
def test_a_requeued_job_takes_over(shared: Zoo, slurm: slurm_engine.Cluster) -> None:
    """SLURM runs a job again that it took away: one trial was interrupted, the other stands for the job."""
    process = shared.start("params=slow", "seed=0,1")
    shared.begun("slow", 0)
    job = next(d["spec"]["process"] for d in shared.documents() if d["spec"]["seed"] == 0)["engine"][
        "slurm_job"
    ]
    (shared.place / "begun-slow-0").unlink()
    slurm.ask("scontrol", "requeue", job)
    until(lambda: "PENDING" in slurm.ask("scontrol", "show", "job", job), "the job in the queue again")
    slurm.ask("scontrol", "update", f"JobId={job}", "StartTime=now")
    shared.begun("slow", 0)
    shared.go()
    ended(process)
    until(lambda: "COMPLETED" in slurm.ask("scontrol", "show", "job", job), "the end of the job")
    found = shared.whole()
    ends = Counter((t["job"], t["status"]) for t in found)
    assert ends == {(0, "interrupted"): 1, (0, "succeeded"): 1, (1, "succeeded"): 1}


def test_a_cluster_without_accounts_is_refused(
    tmp_path: Path, slurm: slurm_engine.Cluster, postgresql: postgresql_engine.Server
) -> None:
    """Where sacct gives no answer, a job that dies would never be missed: nothing runs; exit 1."""
    required.plugin("submitit")
    env = {"SLURM_CONF": slurm.env["SLURM_CONF"], "MITOSIS_STORE": postgresql.url, **postgresql.env}
    where = zoo.make(tmp_path, LAUNCHERS["submitit_slurm"], env)
    done = where.sweep("params=fine", "seed=0,1")
    assert done.returncode == 1 and "sacct gives no answer" in done.stderr, done.stderr


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_store_that_is_away_for_a_while_loses_nothing(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """PostgreSQL stops while trials run, and is back after they have ended: all succeeded; exit 0."""
    with required.running("postgresql", postgresql_engine.server()) as server, reached(server):
        where = make(name, tmp_path, request, server, server.url)
        process = where.start("params=slow", "seed=0,1")
        where.begun("slow", 0)
        server.stop()
        where.go()
        trials = where.repository.path / "trials" / "zoo"
        until(lambda: any(trials.glob("*/outcome.json")), "the end of an experiment")
        server.start()
        done = ended(process)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [(t["status"], t["taints"]) for t in where.whole()] == [("succeeded", [])] * 2


@pytest.mark.parametrize("forgets", [False, True])
def test_a_store_that_stays_away_is_brought_up_to_date(
    forgets: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The folder tells how the trial ended; the next command files it, also where the server came back
    without what it had promised to keep (synchronous_commit=off, or an older copy of it)."""
    with required.running("postgresql", postgresql_engine.server()) as server, reached(server):
        where = make("basic", tmp_path, request, server, server.url)
        process = where.repository.start(
            "experiment=zoo", "params=slow", "seed=5", "mitosis.patience=0.2", **where.env
        )
        where.begun("slow", 5)
        if forgets:
            with create_engine(server.url, poolclass=NullPool).begin() as connection:
                connection.exec_driver_sql("TRUNCATE mitosis.trials CASCADE")
        server.stop()
        where.go()
        done = ended(process)
        assert done.returncode == 0 and "the next command files it" in done.stderr, done.stdout + done.stderr
        server.start()
        (trial,) = where.whole()
        assert (trial["status"], trial["main"], trial["taints"]) == ("succeeded", 5, [])
        checked = where.repository.run("check", **where.env)
        assert checked.returncode == 0, checked.stdout + checked.stderr
