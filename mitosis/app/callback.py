"""The gate as a Hydra callback: checks once, before anything is launched, and stops the process itself."""

from __future__ import annotations

import math
import sys
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mitosis import gate
from mitosis.app import pinning, state
from mitosis.errors import ConfigurationRefused, InternalError, MitosisError
from mitosis.settings import Settings
from mitosis.trial import new_id


def settings_of(config: DictConfig) -> Settings:
    """The `mitosis` node as a value; raises ConfigurationRefused where it cannot be resolved."""
    try:
        settings = OmegaConf.to_object(config.mitosis)
    except OmegaConfBaseException as error:
        raise ConfigurationRefused(f"the configuration under mitosis: {error}") from error
    assert isinstance(settings, Settings)
    return settings


class Gate(Callback):
    """Runs the gate in the driver and carries its verdict to the workers.

    Hydra swallows an ordinary exception of a callback and runs the job all the same; a refusal
    therefore leaves by SystemExit, and the task refuses to run without the verdict.
    """

    def __init__(self) -> None:
        self.verdict: gate.Verdict | None = None  # the only state: it is pickled for every worker

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check before the one job of a run."""
        self._check(config, sweep=None)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check before any job of a sweep, and file the sweep."""
        driver = state.invocation()
        resumed = OmegaConf.select(config, "mitosis.resume")
        words = driver.command if driver is not None else ()
        self._check(config, sweep=gate.Sweep(str(resumed or new_id()), words, sweep_size(config)))

    def on_job_start(self, config: DictConfig, *, task_function: TaskFunction, **kwargs: Any) -> None:
        """In the worker: lay the verdict down for the task."""
        state.present(self.verdict)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """In the worker: drop what Hydra would keep of each job (95 KB) until the sweep ends."""
        state.present(None)
        job_return.cfg = None
        job_return.hydra_cfg = None

    def _check(self, config: DictConfig, sweep: gate.Sweep | None) -> None:
        driver = state.invocation()
        if driver is None:
            sys.exit("mitosis was not started by its own command: use `python -m mitosis`")
        try:
            self.verdict = gate.check(driver.repository, settings_of(config), sweep)
        except MitosisError as error:
            driver.error = error
            sys.exit(1)
        except Exception as error:  # a fault of ours must not open the gate either
            driver.error = InternalError(f"the gate failed: {type(error).__name__}: {error}")
            driver.error.__cause__ = error
            sys.exit(3)
        driver.verdict = self.verdict
        pinning.pin(driver.repository, self.verdict.code)
        if sweep is not None:
            driver.display.sweep_started(self.verdict, sweep)


def sweep_size(config: DictConfig) -> int | None:
    """How many jobs the command line asks for; None where a sweeper other than Hydra's own decides."""
    if not str(OmegaConf.select(config, "hydra.sweeper._target_")).endswith("BasicSweeper"):
        return None
    given = [f"{k}={v}" for k, v in (config.hydra.sweeper.get("params") or {}).items()]
    overrides = OverridesParser.create().parse_overrides([*given, *config.hydra.overrides.task])
    by_key = {o.get_key_element(): o for o in overrides}  # what comes later on the line wins
    sizes = [len(list(o.sweep_iterator())) for o in by_key.values() if o.is_sweep_override()]
    return math.prod(sizes)
