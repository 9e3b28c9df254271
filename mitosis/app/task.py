"""The task that Hydra runs for every job, in the driver or in a worker; it never raises for a trial."""

from __future__ import annotations

import functools
import os
from typing import cast

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from mitosis import agreement, claim, jobs, launch, signals
from mitosis.app import compose, objective, optimize, orphan, state
from mitosis.app.callback import settings_of
from mitosis.errors import ConfigurationRefused, InternalError, JobTaken, MitosisError, StoreUnseen
from mitosis.gate import Verdict
from mitosis.trial import Status, Trial


class GateMissing(CompactHydraException):
    """The gate did not speak, so nothing may run."""


def _fault(error: Exception) -> InternalError:
    fault = InternalError(
        f"a fault of mitosis itself: {type(error).__name__}: {error}", "please report it with its traceback"
    )
    fault.__cause__ = error
    return fault


def task(config: DictConfig) -> objective.Value:
    """Run one trial; returns what the sweeper is told: `main`, or `experiment.objectives`.

    None where the trial did not succeed or one of them is no number.
    """
    verdict, driver = state.take(), state.invocation()
    if verdict is None:
        what = "the gate of mitosis was removed (hydra.callbacks.mitosis): nothing runs without it"
        if driver is None:
            raise GateMissing(what)
        driver.error = ConfigurationRefused(what, "leave ~hydra.callbacks out of the command line")
        return None
    signals.stop_if_heard()
    if driver is not None:
        return _told(verdict, config)
    os.environ.update(verdict.variables)  # before anything here reads them
    with orphan.at_work() as wanted:
        return _told(verdict, config) if wanted else None


def _told(verdict: Verdict, config: DictConfig) -> objective.Value:
    driver = state.invocation()
    hydra = cast("DictConfig", HydraConfig.get())  # annotated as the schema it is checked against
    job = compose.job_number(hydra, verdict.first_job)
    try:
        trial = _trial(verdict, config, hydra, job)
    except JobTaken:  # an engine ran the job a second time: the first one stands for it
        return objective.of_job(verdict, job, optimize.objectives(config))
    if trial is None:
        return None
    if driver is not None:
        if verdict.sweep is None:  # the trials of a sweep are counted in the store: 10,000 need no memory
            driver.trials.append(trial)
        if trial.status is Status.INTERRUPTED or signals.heard():
            raise KeyboardInterrupt  # ends the sweep; in a worker only this one job is over
    main, metrics = (trial.outcome.main, trial.outcome.metrics) if trial.outcome else (None, {})
    return objective.value(trial.status, main, metrics, optimize.objectives(config))


def _trial(verdict: Verdict, config: DictConfig, hydra: DictConfig, job: int | None) -> Trial | None:
    """The finished trial; one that was refused is filed in a sweep, and told by the driver otherwise."""
    request, driver = None, state.invocation()
    try:
        if driver is None:
            agreement.check(verdict)
        if claim.stopped(verdict, settings_of(config)):
            return None  # it is not begun, and the table of outcomes says so
        request = compose.request(config, hydra, job)
        beside = driver.beside if driver is not None else None
        return launch.run_trial(verdict, request, state.display(), beside)
    except (JobTaken, StoreUnseen):
        raise
    except Exception as fault:  # a fault of ours must not cost the sweep its other jobs
        error = fault if isinstance(fault, MitosisError) else _fault(fault)
        if verdict.sweep is None and driver is not None:
            driver.error = error
            return None
        name = compose.experiment_name(config, hydra)
        trial = jobs.record_refusal(verdict, name, request, job, error, tuple(hydra.overrides.task))
        state.display().naming(functools.partial(jobs.short, verdict))
        state.display().finished(trial)
        return trial
