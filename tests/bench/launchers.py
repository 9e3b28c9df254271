"""Rows: one more trial on the launchers of submitit and Ray, against the launcher with the bare function."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

from tests.bench.measure import Cost, Row, Sides, Skip, process
from tests.bench.place import Place, mitosis
from tests.bench.sweep import more
from tests.engines import postgresql, raycluster, slurm
from tests.engines.engine import Missing

APP = """\
import hydra
from burn import run


@hydra.main(version_base="1.3", config_path="bare", config_name="config")
def main(config):
    return run(config.seed, seconds=config.seconds)["main"]


if __name__ == "__main__":
    main()
"""
FILES = {
    "bare_app.py": APP,
    "bare/config.yaml": "seed: 0\nseconds: 2.0\n",
    ".gitignore": "__pycache__/\ntrials/\n",
}
LAUNCHERS = {
    "basic": ("hydra/launcher=basic",),
    "submitit_local": ("hydra/launcher=submitit_local",),
    "submitit_slurm": ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=debug"),
    "ray": ("hydra/launcher=ray", "+hydra.launcher.ray.init.object_store_memory=null"),
}
OWN_PROCESSES = ("basic", "submitit_local")
"""Launchers whose jobs are run by the driver and its children: their CPU time is known."""
PLUGINS = {"submitit": "hydra_submitit_launcher", "ray": "hydra_ray_launcher"}


@contextlib.contextmanager
def _engine(name: str) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """The words that choose the launcher, and the environment of its engine; raises Skip."""
    plugin = PLUGINS.get(name.partition("_")[0])
    try:
        absent = plugin is not None and find_spec(f"hydra_plugins.{plugin}") is None
    except ModuleNotFoundError:
        absent = True
    if absent:
        raise Skip(f"{plugin} is not installed: pip install {plugin}")
    with contextlib.ExitStack() as stack:
        try:
            if name == "submitit_slurm":
                yield LAUNCHERS[name], stack.enter_context(slurm.cluster()).env
            elif name == "ray":
                cluster = stack.enter_context(raycluster.cluster())
                yield (*LAUNCHERS[name], f"hydra.launcher.ray.init.address={cluster.address!r}"), cluster.env
            else:
                yield LAUNCHERS[name], {}
        except Missing as error:
            raise Skip(str(error)) from error


def _another(long: Cost, short: Cost, trials: int, counted: bool) -> Cost:
    """As `more`; without the CPU time where daemons of the engine run the jobs."""
    found = more(long, short, trials)
    return found if counted else replace(found, cpu=None)


@contextlib.contextmanager
def _measured(name: str, place: Place) -> Iterator[Sides]:
    long, short = place.size(10, 4), place.size(2, 2)
    counted = name in OWN_PROCESSES
    seconds = 0.1 if place.quick else 2.0
    repository = place.repository("launchers", {**FILES, "conf/params/burn.yaml": f"seconds: {seconds}\n"})
    with contextlib.ExitStack() as stack:
        words, engine = stack.enter_context(_engine(name))
        try:
            server = stack.enter_context(postgresql.server())
        except Missing as error:
            raise Skip(str(error)) from error
        env = {**place.environ(), **engine, **server.env}

        def ours(trials: int) -> Cost:
            seeds = "seed=" + ",".join(map(str, range(trials)))
            sweep = mitosis("-m", *words, "experiment=burn", "params=burn", seeds)
            return process(sweep, repository, {**env, "MITOSIS_STORE": server.url})

        def bare(trials: int) -> Cost:
            seeds = "seed=" + ",".join(map(str, range(trials)))
            python = [sys.executable, "bare_app.py", "-m"]
            # a whole path: Ray's workers stand wherever the cluster was started
            where = f"hydra.sweep.dir={repository}/trials/bare"
            return process([*python, *words, where, f"seconds={seconds}", seeds], repository, env)

        yield Sides(
            ours=lambda: _another(ours(long), ours(short), long - short, counted),
            theirs=lambda: _another(bare(long), bare(short), long - short, counted),
        )


ROWS = tuple(
    Row(
        name.replace("_", "-"),
        f"one more trial, launcher {name} with a PostgreSQL, 2 s of CPU each",
        f"the same function by the launcher {name} alone",
        1.25,
        functools.partial(_measured, name),
        warm=False,
    )
    for name in LAUNCHERS
)
