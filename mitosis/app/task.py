"""The task that Hydra runs for every job, in the driver or in a worker; it never raises for a trial."""

from __future__ import annotations

import functools
from typing import cast

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from mitosis import launch
from mitosis.app import compose, state
from mitosis.errors import InternalError, JobTaken, MitosisError
from mitosis.trial import Status


class GateMissing(CompactHydraException):
    """The gate did not speak, so nothing may run."""


def _fault(error: Exception) -> InternalError:
    fault = InternalError(
        f"a fault of mitosis itself: {type(error).__name__}: {error}", "please report it with its traceback"
    )
    fault.__cause__ = error
    return fault


def task(config: DictConfig) -> float | None:
    """Run one trial; returns `main` where it is a number and the trial succeeded, else None."""
    verdict = state.take()
    if verdict is None:
        raise GateMissing(
            "the gate of mitosis was removed (hydra.callbacks.mitosis): nothing runs without it"
        )
    driver = state.invocation()
    hydra = cast("DictConfig", HydraConfig.get())  # annotated as the schema it is checked against
    request = None
    try:
        request = compose.request(config, hydra)
        trial = launch.run_trial(verdict, request, state.display())
    except JobTaken:
        return None  # an engine ran the job a second time: the first one stands for it
    except Exception as fault:  # a fault of ours must not cost the sweep its other jobs
        error = fault if isinstance(fault, MitosisError) else _fault(fault)
        if verdict.sweep is None and driver is not None:
            driver.error = error
            return None
        trial = launch.record_refusal(
            verdict, compose.experiment_name(config, hydra), request, compose.job_number(hydra), error
        )
        state.display().naming(functools.partial(launch.short, verdict))
        state.display().finished(trial)
    if driver is not None:
        driver.trials.append(trial)
        if trial.status is Status.INTERRUPTED:
            raise KeyboardInterrupt  # ends the sweep; in a worker only this one job is over
    main = trial.outcome.main if trial.outcome is not None else None
    if trial.status is not Status.SUCCEEDED or isinstance(main, bool) or not isinstance(main, int | float):
        return None
    return float(main)
