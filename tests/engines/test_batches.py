"""Sweeps that are handed over in batches."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mitosis.app import launchers
from tests.engines import required, zoo

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.engines]

LAUNCHERS = {"basic": (), "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")}
BATCHES = "hydra.sweeper.max_batch_size=2"


@pytest.fixture(params=LAUNCHERS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> zoo.Zoo:
    if request.param != "basic":
        required.plugin(request.param)
    return zoo.make(tmp_path, LAUNCHERS[request.param])


def test_a_failure_in_one_batch_does_not_stop_the_next(where: zoo.Zoo) -> None:
    """Three batches, the first two of which hold failures: every job has its row; exit 2."""
    done = where.sweep("params=fails,dies,fine", "seed=0,1", BATCHES)
    assert done.returncode == 2, done.stderr
    found = {(t["variant"], t["seed"]): t["status"] for t in where.trials()}
    ends = {"fails": "failed", "dies": "died", "fine": "succeeded"}
    assert found == {(kind, seed): end for kind, end in ends.items() for seed in (0, 1)}


def test_a_cluster_is_asked_for_its_largest_array(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MaxArraySize is the first index that is too large, and so is one more than the jobs of a batch."""
    cluster = request.getfixturevalue("slurm")
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    config = OmegaConf.create(
        {"hydra": {"launcher": {"_target_": "x.SlurmLauncher"}, "sweeper": {"max_batch_size": None}}}
    )
    launchers.prepare(config)
    assert config.hydra.sweeper.max_batch_size == 500


def test_a_sweep_of_batches_goes_on_under_its_id(where: zoo.Zoo) -> None:
    """The driver dies in the second of three batches; `mitosis resume` runs the rest under the same id."""
    process = where.start("params=fine,slow,fine", "seed=0,1", BATCHES)
    where.begun("slow", 0)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (sweep,) = {t["sweep"] for t in where.trials()}
    where.go()
    done = where.repository.run("resume", **where.env)
    zoo.close(process)
    found = where.trials()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {t["sweep"] for t in found} == {sweep}
    succeeded = [(t["variant"], t["seed"]) for t in found if t["status"] == "succeeded"]
    assert {kind for kind, _ in succeeded} == {"fine", "slow"} and set(succeeded) >= {
        ("slow", 0),
        ("slow", 1),
    }
