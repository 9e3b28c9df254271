"""One trial from the gate to its row: the whole story of a launch."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitosis import closing, identity, jobs, recipe, signals, sweeps
from mitosis.capture import code, environment, inputs
from mitosis.display import Display, Silent
from mitosis.errors import MitosisError, StoreAway, TrialRefused
from mitosis.folder import TrialFolder
from mitosis.gate import Verdict, open_store
from mitosis.patience import patiently
from mitosis.pending import announce
from mitosis.request import Request
from mitosis.settings import Kernel, Rerun, Settings, Verify, WorkingDirectory
from mitosis.trial import (
    RAN,
    CodeState,
    Failure,
    Outcome,
    Remark,
    Status,
    Trial,
    TrialSpec,
    new_id,
    plain,
    shifted,
    utc_now,
)

if TYPE_CHECKING:
    from mitosis.beside import Beside
    from mitosis.store.store import Store


_FILED = "the next command files it when the store is back"


def run_trial(verdict: Verdict, request: Request, display: Display, beside: Beside | None = None) -> Trial:
    """Run one trial and record it, whatever becomes of it; returns the finished trial.

    Where there is a `beside`, a trial that succeeded is completed there: figures, page and row. Raises
    Refused where it cannot be begun: nothing is recorded then.
    """
    if beside is not None and (request.settings.rerun is Rerun.missing or request.expect):
        beside.wait()  # what came before in this sweep counts
    opening = patiently(lambda: open_store(verdict.store), request.settings.patience)
    with signals.held(), contextlib.ExitStack() as stack:
        store = stack.enter_context(opening)
        display.naming(store.short)
        with store.burst():
            surroundings = environment.collect()
            spec = _specify(verdict, request, store, environment.digest(surroundings))
            found = _standing(spec, request, store)
            if found.trial is not None:
                display.skipped(request, found.trial)
                if spec.sweep is not None and spec.job is not None:
                    store.stand_in(spec.sweep, spec.job, found.trial.id)
                    sweeps.stand_in(Path(verdict.root), spec.sweep, spec.job, found.trial.id)
                return found.trial
            if found.reason:
                spec = replace(spec, notes=(*spec.notes, Remark(RAN, found.reason, "mitosis.rerun")))
            spec = jobs.filed(verdict, store, spec, surroundings, tuple(request.settings.redefine))
            folder = TrialFolder(spec.folder)
            display.started(spec, found.reason)
        outcome = _execute(spec, request, folder, verdict, display)
        if request.settings.verify is Verify.twice and outcome.status is Status.SUCCEEDED:
            outcome = _verified(outcome, spec, request, folder, verdict)
        finished = shifted(outcome.finished_at, -spec.process.ahead)
        outcome = _in_its_environment(replace(outcome, finished_at=finished), spec)
        trial = told = Trial(spec, outcome)
        try:
            with store.burst():
                judged = closing.judge_outcome(store, spec, outcome)
            trial = Trial(spec, judged)
            if beside is not None and judged.status is Status.SUCCEEDED:
                beside.do(functools.partial(_filed, stack.pop_all(), store, told, judged, verdict, display))
            else:
                trial = closing.file(store, told, judged)
        except StoreAway as error:
            _tell_away(error, spec, verdict, display)
    display.finished(trial)
    return trial


def _filed(
    opened: contextlib.ExitStack,
    store: Store,
    told: Trial,
    judged: Outcome,
    verdict: Verdict,
    display: Display,
) -> None:
    """File the trial while the next one runs."""
    with opened:
        try:
            closing.file(store, told, judged)
        except StoreAway as error:
            _tell_away(error, told.spec, verdict, display)


def _tell_away(error: StoreAway, spec: TrialSpec, verdict: Verdict, display: Display) -> None:
    with contextlib.suppress(TrialRefused):  # a server that crashed may come back without the row
        announce(Path(verdict.root), spec.id, TrialFolder(spec.folder), plain(spec.process))
    display.stream("stderr", f"mitosis: {error.what}\n  {spec.folder} holds the trial; {_FILED}\n")


def _in_its_environment(outcome: Outcome, spec: TrialSpec) -> Outcome:
    """The outcome, with a taint where something was installed or removed while the trial ran."""
    if environment.digest(environment.collect()) == spec.environment:
        return outcome
    what = "the environment changed while the trial ran: a distribution was installed, upgraded or removed"
    return replace(outcome, taints=(*outcome.taints, Remark("environment_changed", what, spec.environment)))


def _standing(spec: TrialSpec, request: Request, store: Store) -> recipe.Standing:
    """The trial that stands for this one, where the user wants only what is missing."""
    if request.settings.rerun is Rerun.always:
        return recipe.Standing(None)
    wanted = recipe.Recipe(
        spec.experiment, spec.module, spec.function, spec.param_set.digest, spec.seed, spec.code, spec.inputs
    )
    return recipe.standing(store, wanted)


def _verified(
    outcome: Outcome, spec: TrialSpec, request: Request, folder: TrialFolder, verdict: Verdict
) -> Outcome:
    """The outcome with what a second run in another fresh kernel says of the first: the same bits, or not."""
    second = TrialFolder(folder.second)
    try:
        second.path.mkdir()
        again = _execute(spec, request, second, verdict, Silent())
        same = _bits(outcome, folder) == _bits(again, second)
    except OSError as error:
        remark = Remark("not_verified", f"there was no second run: {error}", str(second.path))
        return replace(outcome, notes=(*outcome.notes, remark))
    finally:
        second.remove()
    if again.status is Status.INTERRUPTED:
        remark = Remark("not_verified", "the second run was interrupted; the first had succeeded")
        return replace(outcome, status=Status.INTERRUPTED, notes=(*outcome.notes, remark))
    if same:
        result = "a bit-identical result" if folder.result.exists() else "no result that could be compared"
        remark = Remark("verified", f"a second run gave bit-identical metrics and {result}")
        return replace(outcome, notes=(*outcome.notes, remark))
    if again.status is not Status.SUCCEEDED:
        what = f"a second run of the very same trial ended {again.status.value}"
    else:
        what = (
            f"a second run of the very same trial gave other bits: main {again.main!r} for {outcome.main!r}"
        )
    return replace(outcome, taints=(*outcome.taints, Remark("not_repeatable", what, spec.experiment)))


def _bits(outcome: Outcome, folder: TrialFolder) -> tuple[Any, ...]:
    """What two runs must share to the bit; texts, because nan differs from itself."""
    result = folder.result.read_bytes() if folder.result.exists() else b""
    return (outcome.status, repr(outcome.main), repr(sorted(outcome.metrics.items())), result)


def _specify(verdict: Verdict, request: Request, store: Store, environment_digest: str) -> TrialSpec:
    """The frozen description of the trial; checks everything that can refuse it."""
    from mitosis.notebook import document

    document.import_run(request.module, request.function)  # refuses names that Python cannot import
    data = closing.data_directory(verdict.code, request.changed_settings)
    declared = inputs.declared(request.input_patterns, data, store.digests())
    trial_id = new_id()
    ahead = store.ahead()
    return TrialSpec(
        id=trial_id,
        experiment=request.experiment,
        module=request.module,
        function=request.function,
        variant=request.label,
        variants=store.variants(
            verdict.code.project, request.experiment, request.variants, tuple(request.settings.redefine)
        ),
        params=identity.canonical(request.params),
        param_set=identity.parameter_set(request.tracked),
        seed=request.seed,
        code=verdict.code,
        environment=environment_digest,
        started_at=shifted(utc_now(), -ahead),
        folder=str(TrialFolder.locate(Path(verdict.root), request.experiment, trial_id).path),
        process=replace(environment.host_process(), ahead=ahead),
        overrides=request.overrides,
        inputs=declared,
        sweep=verdict.sweep,
        job=request.job,
        note=request.settings.note,
        tags=tuple(request.settings.tags),
        notes=verdict.notes,
        settings=request.changed_settings,
        expect=request.expect,
        variables=verdict.variables,
        study=verdict.study,
    )


def source_roots(state: CodeState, extra: list[str]) -> tuple[str, ...]:
    """The directories that come first on the kernel's sys.path: the top, src/ where it exists, then `extra`.

    All of them are of the tree that the code runs from, be it the repository or a checkout.
    """
    tree, repository = Path(state.tree or state.repository), Path(state.repository)
    roots = [tree, tree / "src"]
    for name in extra:
        given = repository / name
        roots.append(tree / given.relative_to(repository) if given.is_relative_to(repository) else given)
    return tuple(dict.fromkeys(str(r) for r in roots if r == tree or r.is_dir()))


def _working_directory(spec: TrialSpec, settings: Settings, folder: TrialFolder) -> Path:
    own = settings.cwd is WorkingDirectory.trial
    return folder.path if own else closing.data_directory(spec.code, spec.settings)


def _execute(
    spec: TrialSpec, request: Request, folder: TrialFolder, verdict: Verdict, display: Display
) -> Outcome:
    """Run the notebook in a fresh kernel; what goes wrong becomes the outcome, it does not raise."""
    from mitosis.notebook import document, execute, forking, report

    settings = request.settings
    roots = source_roots(spec.code, settings.source_roots)
    cwd = _working_directory(spec, settings, folder)
    plan = document.CallPlan(
        cwd=str(cwd),
        source_roots=roots,
        argv0=spec.module,
        instantiate=request.instantiate,
        seed_globals=settings.seed_globals,
    )
    # without a buffer: what could not be written is not tried again when the file is closed
    with folder.log.open("ab", buffering=0) as log:

        def stream(name: str, text: str) -> None:
            rest = memoryview(text.encode("utf-8", "replace"))
            try:
                while rest:
                    rest = rest[log.write(rest) :]
            finally:  # what was seen has been kept
                display.stream(name, text)

        job = execute.Job(
            notebook=document.new(spec, plan),
            path=folder.notebook,
            log=folder.log,
            cwd=cwd,
            guard=_guard(spec, settings, folder, verdict, roots),
            call=lambda by_keyword: document.call(spec.seed, plan, by_keyword=by_keyword),
            timeout=settings.timeout,
            grace=settings.grace,
            manner=forking.Manner(
                fork=settings.kernel is Kernel.fork and forking.available(),
                preload=tuple(settings.preload),
                ahead=spec.sweep is not None and not environment.of_one_job(),
            ),
            stream=stream,
            beat=functools.partial(_beat, verdict.store, spec.id),
        )
        warming = threading.Thread(target=report.warm, name="mitosis-report", daemon=True)
        warming.start()
        try:
            execution = execute.execute(job)
        except (MitosisError, OSError) as error:
            return Outcome(Status.FAILED, utc_now(), error=Failure(type(error).__name__, str(error)))
        finally:
            warming.join()
    written = closing.guard_outcome(folder)
    if execution.broken:
        folder.give_room()  # now: SQLite's shared memory on a disk without any ends the process by SIGBUS
        return closing.broken(written, execution.broken)
    status = {"finished": Status.FAILED, "error": Status.FAILED}.get(execution.ended.value)
    return closing.decide(written, status or Status(execution.ended.value), execution.reason)


def _guard(
    spec: TrialSpec, settings: Settings, folder: TrialFolder, verdict: Verdict, roots: tuple[str, ...]
) -> str:
    """What the guard in the kernel has to know, as JSON; see kernel/guard.begin."""
    options = {
        "trial": spec.id,
        "folder": str(folder.path),
        "repository": spec.code.repository,
        "tree": spec.code.tree,
        "source_roots": roots,
        "private": [
            verdict.root,
            str(code.git_common_dir(Path(spec.code.repository))),
            *map(str, (folder.series, folder.plotted)),
        ],
        "observe_inputs": settings.observe_inputs,
        "figure_formats": list(settings.figure_formats),
        "figure_data": str(folder.plotted) if settings.figure_data else "",
    }
    return json.dumps(options)


def _beat(url: str, trial: str) -> None:
    """Tell other hosts that the trial is alive; a store that is away now hears the next one."""
    try:
        with open_store(url) as store:
            store.heartbeat(trial)
    except MitosisError:
        return
