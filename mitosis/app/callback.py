"""The gate as a Hydra callback: checks once, before anything is launched, and stops the process itself."""

from __future__ import annotations

import dataclasses
import difflib
import gc
import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mitosis import gate, jobs, signals
from mitosis.app import config as configuration
from mitosis.app import engine, launchers, optimize, pinning, state, sweeping
from mitosis.beside import Beside
from mitosis.errors import ConfigurationRefused, InternalError, MitosisError, VariantRedefined
from mitosis.settings import Settings
from mitosis.trial import new_id


def settings_of(config: DictConfig) -> Settings:
    """The `mitosis` node as a value; raises ConfigurationRefused where it cannot be resolved."""
    _known_keys(config)
    try:
        settings = OmegaConf.to_object(config.mitosis)
    except OmegaConfBaseException as error:
        raise ConfigurationRefused(f"the configuration under mitosis: {error}") from error
    assert isinstance(settings, Settings)
    return settings


def _known_keys(config: DictConfig) -> None:
    """Refuse keys that were added with `+` where nothing reads them."""
    for node, known in (("mitosis", Settings), ("experiment", configuration.Experiment)):
        names = {field.name for field in dataclasses.fields(known)}
        odd = sorted(str(key) for key in config.get(node) or () if key not in names)
        if odd:
            near = difflib.get_close_matches(odd[0], names, n=1)
            todo = f"did you mean {node}.{near[0]}?" if near else f"it knows: {', '.join(sorted(names))}"
            raise ConfigurationRefused(f"{node}.{odd[0]} is no key of mitosis", todo)


class Gate(Callback):
    """Runs the gate in the driver and carries its verdict to the workers.

    Hydra swallows an ordinary exception of a callback and runs the job all the same; a refusal
    therefore leaves by SystemExit, and the task refuses to run without the verdict.
    """

    def __init__(self) -> None:
        self.verdict: gate.Verdict | None = None  # the only state: it is pickled for every worker

    def __setstate__(self, found: dict[str, Any]) -> None:
        """In a worker, before Hydra makes the directory of a job: paths are those of the repository's top.

        The workers of a Ray cluster that runs already stand wherever it was started.
        """
        self.__dict__.update(found)
        gc.set_threshold(
            100_000, 20, 100
        )  # as in the driver, see mitosis/__main__.py: what is imported stays
        if self.verdict is not None and Path(self.verdict.code.repository).is_dir():
            os.chdir(self.verdict.code.repository)

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check before the one job of a run."""
        self._check(config, multirun=False)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check before any job of a sweep, and file the sweep."""
        self._check(config, multirun=True)

    def on_job_start(self, config: DictConfig, *, task_function: TaskFunction, **kwargs: Any) -> None:
        """In the worker: lay the verdict down for the task."""
        state.present(self.verdict)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """In the worker: drop what Hydra would keep of each job (95 KB) until the sweep ends."""
        state.present(None)
        job_return.cfg = None
        job_return.hydra_cfg = None

    def _check(self, config: DictConfig, multirun: bool) -> None:
        signals.stop_if_heard()
        driver = state.invocation()
        if driver is None:
            sys.exit("mitosis was not started by its own command: use `python -m mitosis`")
        try:
            settings = settings_of(config)
            sweep = None
            if multirun:
                resumed = settings.resume is not None
                sweep = gate.Sweep(
                    settings.resume or new_id(), driver.command, sweeping.size(config), resumed,
                    elsewhere=launchers.elsewhere(config),
                )  # fmt: skip
                if sweep.size == 0:
                    what = "the sweep has no job: one of the values that it runs over is empty"
                    raise ConfigurationRefused(what, "give it values: 'seed=range(0,5)'")
                launchers.check(config)
                optimize.check(config, resumed)
            verdict = gate.check(driver.repository, settings, sweep)
            _check_directories(config, Path(verdict.root), multirun)
            driver.verdict = verdict
            pinning.pin(driver.repository, verdict.code, multirun)
            if sweep is not None:
                _check_variants(config, verdict, settings)
                launchers.prepare(config)
                verdict = optimize.prepare(config, verdict)
                driver.beside = Beside(driver.fail)
                engine.guard(verdict, optimize.objectives(config), driver.fail, driver.beside)
                driver.display.sweep_started(verdict, sweep)
        except MitosisError as error:
            driver.error = error
            sys.exit(1)
        except Exception as error:  # a fault of ours must not open the gate either
            driver.error = InternalError(f"the gate failed: {type(error).__name__}: {error}")
            driver.error.__cause__ = error
            sys.exit(3)
        self.verdict = driver.verdict = verdict


def _check_variants(config: DictConfig, verdict: gate.Verdict, settings: Settings) -> None:
    """As sweeping.check; a sweep that is refused was never begun."""
    try:
        sweeping.check(config, verdict, settings)
    except VariantRedefined:
        jobs.forget_sweep(verdict)
        raise


def _check_directories(config: DictConfig, root: Path, multirun: bool) -> None:
    """What Hydra writes lies below the root as well, wherever the command line wants it."""
    try:
        places = _written(config, multirun)
    except OmegaConfBaseException as error:
        first = str(error).partition("\n")[0]
        raise ConfigurationRefused(f"where Hydra shall write: {first}", "leave out hydra.*.dir") from error
    for key, place in places.items():
        wanted = Path(os.path.normpath(place.absolute()))
        if not wanted.is_relative_to(root):
            raise ConfigurationRefused(
                f"{key} is {wanted}, which is not below mitosis.root ({root})",
                f"leave out {key}; all that is written goes below mitosis.root",
            )


def _written(config: DictConfig, multirun: bool) -> dict[str, Path]:
    """By the key that says so, the directories and logs that Hydra writes; of a sweep, those of its job 0."""
    plain = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    plain.hydra.job.num, plain.hydra.job.id = 0, "0"
    top = Path(str(plain.hydra.sweep.dir if multirun else plain.hydra.run.dir))
    places = {"hydra.sweep.dir" if multirun else "hydra.run.dir": top}
    if multirun:
        top = top / str(plain.hydra.sweep.subdir)
        places["hydra.sweep.subdir"] = top
    places["hydra.output_subdir"] = top / str(plain.hydra.output_subdir or "")
    plain.hydra.runtime.output_dir = str(top.absolute())
    for logging in ("job_logging", "hydra_logging"):
        handlers = plain.hydra[logging].get("handlers") if plain.hydra[logging] else None
        for name, handler in (handlers or {}).items():
            if handler and handler.get("filename") is not None:
                places[f"hydra.{logging}.handlers.{name}.filename"] = Path(str(handler.filename))
    return places
