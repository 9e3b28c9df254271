"""Optuna's sweeper: what it is told of each trial, in memory and in a study that a PostgreSQL keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests import project as project_of_tests
from tests.engines import postgresql as postgresql_engine
from tests.engines import required
from tests.project import Project
from tests.store_values import database_on

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.engines]

HILL = """\
def run(seed, x):
    if x > 0.9:
        raise ValueError("too far")
    return {"main": float("nan") if x < 0.1 else -((x - 0.5) ** 2), "cost": x}
"""
SWEEP = ("-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "experiment=hill", "params=one")


@pytest.fixture
def hill(tmp_path: Path) -> Project:
    """A repository with one hill, whose ends fail or are nan."""
    required.plugin("optuna")
    made = project_of_tests.make(tmp_path / "hill")
    made.write("hill.py", HILL)
    made.write("conf/experiment/hill.yaml", "module: hill\ndirection: maximize\n")
    made.write(
        "conf/experiment/two.yaml",
        "module: hill\nobjectives: [main, cost]\ndirection: [maximize, minimize]\n",
    )
    made.commit()
    return made


def test_the_experiment_says_what_is_sought(hill: Project) -> None:
    """Direction and `main` reach the study; failed and nan trials are told as failed; exit 2."""
    # not the grid: the one of Optuna 4 and 5 cannot end in a sweeper that asks and tells
    words = [word.replace("grid", "random") for word in SWEEP]
    words += ["params.x=choice(0.0,0.3,0.6,1.0)", "hydra.sweeper.sampler.seed=1"]
    done = hill.run(*words, "hydra.sweeper.n_trials=12", "hydra.sweeper.n_jobs=2")
    trials = hill.json("ls", "--limit", "0")
    assert {t["status"] for t in trials} == {"failed", "succeeded"}, done.stderr
    assert {t["params"]["x"] for t in trials} == {0.0, 0.3, 0.6, 1.0}
    assert done.returncode == 2
    (results,) = hill.path.glob("trials/hydra/*/optimization_results.yaml")
    assert re.search(r"params\.x: 0\.6", results.read_text())
    shown = [hill.json("show", t["id"]) for t in trials]
    assert {t["study"] for t in shown} == {f"mitosis-{trials[0]['sweep']}"}
    assert sorted(t["job"] for t in shown) == list(range(12))


def test_the_command_line_says_otherwise(hill: Project) -> None:
    """A direction and a name on the command line win."""
    done = hill.run(
        *SWEEP,
        "params.x=choice(0.3,0.6)",
        "hydra.sweeper.direction=minimize",
        "hydra.sweeper.study_name=mine",
    )
    assert done.returncode == 0, done.stderr
    (results,) = hill.path.glob("trials/hydra/*/optimization_results.yaml")
    assert re.search(r"params\.x: 0\.3", results.read_text())
    assert {hill.json("show", t["id"])["study"] for t in hill.json("ls")} == {"mine"}


def test_several_objectives(hill: Project) -> None:
    """`experiment.objectives` are told in their order, each with its direction."""
    words = [word.replace("hill", "two") for word in SWEEP]
    done = hill.run(*words, "params.x=choice(0.3,0.5,0.8)")
    assert done.returncode == 0, done.stderr
    (results,) = hill.path.glob("trials/hydra/*/optimization_results.yaml")
    solutions = results.read_text()
    assert solutions.count("params.x") == 2 and "params.x: 0.8" not in solutions  # dominated by 0.3


def test_directions_that_do_not_fit_are_refused(hill: Project) -> None:
    """Nothing runs where the number of directions is not that of the objectives."""
    done = hill.run(*SWEEP, "params.x=choice(0.3,0.5)", "experiment.objectives=[main,cost]")
    assert done.returncode == 1 and "experiment.direction" in done.stderr
    assert hill.json("ls") == []


@pytest.fixture
def shared(postgresql: postgresql_engine.Server) -> Iterator[str]:
    if int(version("optuna").partition(".")[0]) < 3:
        pytest.skip("this optuna keeps no study with SQLAlchemy 2: pip install --no-deps 'optuna>=4.5'")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in postgresql.env.items():
            patch.setenv(name, value)
        with database_on(postgresql.url) as url:
            yield url


@pytest.mark.filterwarnings("ignore:.*Distribution has been deprecated:FutureWarning")  # the sweeper's
def test_a_study_goes_on_in_the_store_s_database(hill: Project, shared: str) -> None:
    """Store and study share a PostgreSQL; a second command goes on with the study and its numbers."""
    import optuna

    words = (
        "-m", "hydra/sweeper=optuna", "experiment=hill", "params=one", "params.x=interval(0.2,0.8)",
        "hydra.sweeper.n_trials=2", "hydra.sweeper.study_name=hill", "hydra.sweeper.storage=${mitosis.store}",
        f"mitosis.store={shared}",
    )  # fmt: skip
    for _ in range(2):
        done = hill.run(*words)
        assert done.returncode == 0, done.stderr
    study = optuna.load_study(study_name="hill", storage=shared)
    told = {trial.number: trial.value for trial in study.trials}
    trials = [hill.json("show", t["id"]) for t in hill.json("ls")]
    assert {t["job"]: t["main"] for t in trials} == pytest.approx(told)
    assert sorted(told) == [0, 1, 2, 3]
