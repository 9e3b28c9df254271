"""What a launcher asks the store of the jobs of its sweep, and files of those that were refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis import claim, closing, environments, identity, settle, sweeps
from mitosis.capture import environment
from mitosis.errors import MitosisError, Refused
from mitosis.folder import TrialFolder, checked_name
from mitosis.gate import Verdict, open_store
from mitosis.patience import patiently
from mitosis.pending import announced
from mitosis.request import Request
from mitosis.settings import PATIENCE, Settings
from mitosis.trial import JSON, Failure, Outcome, Status, Summary, Trial, TrialSpec, new_id, plain

if TYPE_CHECKING:
    from mitosis.store.store import Store


def short(verdict: Verdict, trial: str) -> str:
    """The shortest unique beginning of the id of a trial."""
    with open_store(verdict.store) as store:
        return store.short(trial)


def forget_sweep(verdict: Verdict) -> bool:
    """Take the sweep of which nothing was begun out of the store; False where something was."""
    assert verdict.sweep is not None
    with open_store(verdict.store) as store:
        forgotten = store.forget_sweep(verdict.sweep)
    if forgotten:
        sweeps.forget(Path(verdict.root), verdict.sweep)
    return forgotten


def working(verdict: Verdict, processes: Collection[int]) -> dict[int, float]:
    """Those of the processes, of this machine, that run a trial of the sweep, each with its grace period."""
    here = environment.host_process().host
    with open_store(verdict.store) as store:
        running = [trial.spec for trial in store.running() if trial.spec.sweep == verdict.sweep]
    return {
        spec.process.pid: float(spec.settings.get("grace", Settings().grace))
        for spec in running
        if spec.process.host == here and spec.process.pid in processes
    }


def sweep_statuses(verdict: Verdict) -> list[Status]:
    """The statuses of the jobs of the sweep so far, less those that an earlier trial stands for.

    Those whose worker vanished are ended first.
    """
    assert verdict.sweep is not None
    with patiently(lambda: open_store(verdict.store), PATIENCE) as store:
        settle.settle(store, Path(verdict.root))
        counts, _ = store.jobs(verdict.sweep)
    return [status for status, number in counts.items() for _ in range(number)]


def filed(
    verdict: Verdict,
    store: Store,
    spec: TrialSpec,
    surroundings: Mapping[str, JSON],
    redefine: tuple[str, ...] = (),
) -> TrialSpec:
    """Make the folder of a trial, then its row; a refusal of the store leaves neither. Returns it as filed.

    Raises Refused, as TrialFolder.create and Store.start do.
    """
    root = Path(verdict.root)
    with announced(root, spec.id, TrialFolder(spec.folder), plain(spec.process)):
        environments.keep(root, spec.environment, surroundings)
        folder = TrialFolder.create(root, spec.experiment, spec.id, plain(Trial(spec)))
        try:
            return store.start(spec, surroundings, redefine, claim.replaced(store, spec, verdict))
        except BaseException:  # what has no row has no folder either
            folder.remove()
            raise


def record_refusal(
    verdict: Verdict,
    experiment: str,
    request: Request | None,
    job: int | None,
    error: MitosisError,
    overrides: tuple[str, ...] = (),
) -> Trial:
    """File the job of a sweep that was refused: a failed trial whose experiment never began.

    A refusal in a single run is recorded nowhere; in a sweep the other jobs go on, and the
    record says what became of each.
    """
    surroundings = environment.collect()
    with open_store(verdict.store) as store:
        spec = replace(
            _refused(verdict, experiment, request, environment.digest(surroundings)),
            started_at=store.now(),
            process=replace(environment.host_process(), ahead=store.ahead()),
            overrides=overrides,
            job=job,
        )
        kind = "Refused" if isinstance(error, Refused) else type(error).__name__
        outcome = Outcome(Status.FAILED, spec.started_at, error=Failure(kind, str(error)))
        return closing.close(store, filed(verdict, store, spec, surroundings), outcome)


def _refused(verdict: Verdict, experiment: str, request: Request | None, surroundings: str) -> TrialSpec:
    """A trial that cannot begin; the caller fills in when, where, and for which job."""
    try:
        params = identity.canonical(request.params) if request else "null"
        tracked = identity.parameter_set(request.tracked) if request else identity.parameter_set(None)
    except MitosisError:
        params, tracked = "null", identity.parameter_set(None)
    try:
        checked_name(experiment)
    except MitosisError:
        experiment = "refused"  # its own name cannot be a folder's
    trial_id = new_id()
    return TrialSpec(
        id=trial_id,
        experiment=experiment,
        module=request.module if request else "",
        function=request.function if request else "",
        variant=request.label if request else "",
        variants=(),
        params=params,
        param_set=tracked,
        seed=request.seed if request else 0,
        code=verdict.code,
        environment=surroundings,
        started_at="",
        folder=str(TrialFolder.locate(Path(verdict.root), experiment, trial_id).path),
        process=environment.host_process(),
        sweep=verdict.sweep,
        notes=verdict.notes,
        variables=verdict.variables,
        study=verdict.study,
    )


def standing_jobs(verdict: Verdict, first: int, last: int) -> dict[int, Summary]:
    """By number, the trials that stand for the jobs `first` to `last`; dead ones are ended first."""
    assert verdict.sweep is not None
    with patiently(lambda: open_store(verdict.store), PATIENCE) as store:
        settle.settle(store, None)
        return store.standing(verdict.sweep, first, last)
