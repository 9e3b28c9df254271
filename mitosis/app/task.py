"""The task that Hydra runs for every job, in the driver or in a worker; it never raises for a trial."""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from mitosis import launch
from mitosis.app import compose, state
from mitosis.errors import MitosisError
from mitosis.trial import Status


class GateMissing(CompactHydraException):
    """The gate did not speak, so nothing may run."""


def task(config: DictConfig) -> float | None:
    """Run one trial; returns `main` where it is a number and the trial succeeded, else None."""
    verdict = state.take()
    if verdict is None:
        raise GateMissing("the gate of mitosis was removed (hydra.callbacks.mitosis): nothing runs without it")
    driver = state.invocation()
    name = compose.experiment_name(config)
    request = None
    try:
        request = compose.request(config, HydraConfig.get())
        trial = launch.run_trial(verdict, request, state.display())
    except MitosisError as error:
        if verdict.sweep is None and driver is not None:
            driver.error = error
            return None
        trial = launch.record_refusal(verdict, name, request, compose.job_number(HydraConfig.get()), error)
        state.display().finished(trial)
    if driver is not None:
        driver.trials.append(trial)
        if trial.status is Status.INTERRUPTED:
            raise KeyboardInterrupt  # ends the sweep; in a worker only this one job is over
    main = trial.outcome.main if trial.outcome is not None else None
    numeric = isinstance(main, int | float) and not isinstance(main, bool)
    return float(main) if trial.status is Status.SUCCEEDED and numeric else None
