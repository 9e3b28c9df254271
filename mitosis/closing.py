"""Closes a trial whose execution is over: outcome, figures, HTML, trial.json and, last, its row."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis import ends, environments, expect, identity, leftovers, stamp
from mitosis.capture import inputs, judge
from mitosis.errors import MitosisError, StoreAway, StoreRefused, TrialNotFound, VariantRedefined
from mitosis.folder import TrialFolder
from mitosis.patience import patiently
from mitosis.settings import PATIENCE, OnTaint, WorkingDirectory
from mitosis.trial import (
    JSON,
    NOT_FILED,
    CodeState,
    Failure,
    LookupRecord,
    Outcome,
    Remark,
    Status,
    Trial,
    TrialSpec,
    Variant,
    from_plain,
    plain,
    utc_now,
)

if TYPE_CHECKING:
    from mitosis.store.store import Store


_LOOKED_AT = 20  # earlier trials of a recipe whose expectation is compared


def data_directory(code: CodeState, settings: Mapping[str, JSON]) -> Path:
    """What the relative paths of inputs are relative to: the repository's top, or that of the checkout.

    `settings` are those that a trial records, see settings.changed.
    """
    pinned = settings.get("cwd") == WorkingDirectory.checkout.value
    return Path((code.tree if pinned else "") or code.repository)


def guard_outcome(folder: TrialFolder) -> Outcome | None:
    """What the guard wrote before the kernel ended; None where it wrote nothing that is whole."""
    document = folder.read_json(folder.outcome)
    if not isinstance(document, dict):
        return None
    try:
        return from_plain(Outcome, document)
    except (KeyError, TypeError, ValueError):
        return None


def decide(written: Outcome | None, status: Status, reason: str) -> Outcome:
    """The outcome from what the guard wrote and from what the launcher saw (`status`, `reason`).

    A success that the guard wrote is a success, whatever came after it; for everything else
    the launcher knows better why the experiment stopped.
    """
    if written is not None and written.status is Status.SUCCEEDED:
        return written
    if written is None:
        return Outcome(status, utc_now(), error=Failure(status.value, reason))
    if status is Status.FAILED:
        return written
    trace = written.error.traceback if written.error else ""
    return dataclasses.replace(written, status=status, error=Failure(status.value, reason, trace))


def broken(written: Outcome | None, reason: str) -> Outcome:
    """The outcome of a trial whose output could not be kept; one that had succeeded by then has succeeded."""
    if written is not None and written.status is Status.SUCCEEDED:
        remark = Remark("not_written", f"not all of the output was kept: {reason}")
        return dataclasses.replace(written, notes=(*written.notes, remark))
    own = written.error if written is not None else None
    # where our interrupt met the experiment is not why it failed
    trace = own.traceback if own is not None and own.kind != "KeyboardInterrupt" else ""
    written = written or Outcome(Status.FAILED, utc_now())
    return dataclasses.replace(written, status=Status.FAILED, error=Failure("OSError", reason, trace))


def close(store: Store, spec: TrialSpec, outcome: Outcome) -> Trial:
    """Write everything that a finished trial leaves behind and end its row; returns the trial.

    Raises StoreAway where the store stays away: the folder then tells how the trial ended, see
    settle.settled.
    """
    return file(store, Trial(spec, outcome), judge_outcome(store, spec, outcome))


def judge_outcome(store: Store, spec: TrialSpec, outcome: Outcome) -> Outcome:
    """The outcome with what is proven of it, and held to what was expected. Raises StoreAway, as `close`."""
    folder, told = TrialFolder(spec.folder), Trial(spec, outcome)
    if outcome.status not in (Status.SUCCEEDED, Status.FAILED):
        leftovers.end(folder, spec.id)
    patience = float(spec.settings.get("patience", PATIENCE))
    try:
        judged = patiently(functools.partial(_judged, store, folder, spec, outcome), patience)
        return patiently(functools.partial(_held_to, store, spec, judged), patience)
    except StoreAway:
        folder.tidy()
        folder.write_json(folder.trial_json, plain(told))  # the next command goes on here
        raise


def file(store: Store, told: Trial, outcome: Outcome) -> Trial:
    """Write figures, page and `trial.json` of the trial that was `told`, now that it is judged; end its row.

    A report that cannot be made is a note on the trial: the numbers are never lost for a page. Raises
    StoreAway, as `close`.
    """
    spec, folder = told.spec, TrialFolder(told.spec.folder)
    patience = float(spec.settings.get("patience", PATIENCE))
    figure_formats = tuple(spec.settings.get("figure_formats", ("png",)))
    try:
        if folder.notebook.exists():  # a trial that was refused in a sweep has none
            outcome = _show(folder, spec, outcome, figure_formats)
    except Exception as error:  # of Jupyter, of a template, of a picture: no page is worth a trial's row
        remark = Remark("no_report", f"the report could not be made: {error}", str(folder.html))
        outcome = dataclasses.replace(outcome, notes=(*outcome.notes, remark))
    folder.tidy()
    where: Path | None = folder.path
    try:
        outcome = dataclasses.replace(outcome, files=_digests(folder))
        complete(folder, Trial(spec, outcome))
    except (MitosisError, OSError) as error:  # a full disk: the row can still say what happened
        where = None
        remark = Remark("not_written", f"the folder could not be completed: {error}", spec.folder)
        outcome = dataclasses.replace(outcome, notes=(*outcome.notes, remark))
    try:
        patiently(lambda: end_row(store, Trial(spec, outcome)), patience)
    except StoreAway:
        raise
    except StoreRefused as error:  # the next command brings the row up to date
        where = where or ends.keep(told)  # not what was judged: without a store it could not be
        remark = Remark(NOT_FILED, error.what, str(where or ""))
        outcome = dataclasses.replace(outcome, notes=(*outcome.notes, remark))
    return Trial(spec, outcome)


def end_row(store: Store, trial: Trial) -> None:
    """End the row of a trial that is over; where the store has lost it, it gets one.

    A server that crashed, or was replaced by an older copy of it, has forgotten what was filed last.
    """
    assert trial.outcome is not None
    try:
        store.finish(trial.id, trial.outcome)
    except TrialNotFound:
        root = TrialFolder(trial.spec.folder).root(trial.spec.experiment)
        store.adopt(trial, environments.read(root, trial.spec.environment))


def complete(folder: TrialFolder, trial: Trial) -> None:
    """Let the folder say how the trial ended. Raises OSError."""
    folder.write_json(folder.trial_json, plain(trial))  # first: who finds it final need not judge again
    folder.write_json(folder.outcome, plain(trial.outcome))
    ends.forget(trial.spec)


def mend(trial: Trial) -> None:
    """Give the folder what only the row knows of the end: the disk was full or read-only. Raises OSError."""
    folder, formats = (
        TrialFolder(trial.spec.folder),
        tuple(trial.spec.settings.get("figure_formats", ("png",))),
    )
    if trial.outcome is not None and folder.notebook.exists() and not folder.html.exists():
        _show(folder, trial.spec, trial.outcome, formats)
    complete(folder, trial)


def _judged(store: Store, folder: TrialFolder, spec: TrialSpec, outcome: Outcome) -> Outcome:
    """The outcome with what is proven and what is not; where the user asked for it, a taint fails it."""
    document = folder.read_json(folder.outcome)
    if not isinstance(document, dict):  # the kernel ended before the guard could say anything
        return outcome
    # the experiment can write this file too: what is in it is judged, whoever says that it was
    outcome = _compared(store, spec, document.get("seen"), outcome)
    failing = spec.settings.get("on_taint") == OnTaint.fail.value
    if failing and outcome.taints and outcome.status is Status.SUCCEEDED:
        first = outcome.taints[0]
        reason = f"the record is not proven (mitosis.on_taint=fail): {first.what} ({first.where})"
        return dataclasses.replace(outcome, status=Status.FAILED, error=Failure("Tainted", reason))
    return outcome


def _held_to(store: Store, spec: TrialSpec, outcome: Outcome) -> Outcome:
    """The outcome held to what was expected; a note where other things were expected of its recipe before."""
    if not spec.expect or outcome.expectation:
        return outcome
    outcome = dataclasses.replace(outcome, expectation=expect.judged(spec.expect, outcome))
    from mitosis.store import Query

    same = Query(
        project=spec.code.project,
        experiment=spec.experiment,
        param_set=spec.param_set.digest,
        seed=spec.seed,
        code_identity=outcome.code_identity,
        status=(Status.SUCCEEDED,),
        limit=_LOOKED_AT,
    )
    before = [store.get(s.id) for s in store.find(same) if s.id != spec.id] if outcome.code_identity else []
    other = next((t for t in before if t.spec.expect != spec.expect), None)
    if other is None:
        return outcome
    then = expect.shown(other.spec.expect) or "nothing"
    what = f"{then} was expected when trial {other.id} of the same recipe gave its result"
    remark = Remark("expectation_changed", what, "experiment.expect")
    return dataclasses.replace(outcome, notes=(*outcome.notes, remark))


def _compared(store: Store, spec: TrialSpec, seen: JSON, outcome: Outcome) -> Outcome:
    """The outcome with what the guard has `seen`, held against what the record says."""
    began = datetime.fromisoformat(spec.started_at).timestamp() + spec.process.ahead  # files have its clock
    try:
        data = data_directory(spec.code, spec.settings)
        found = judge.judge(spec.code, spec.inputs, seen, store.digests(), int(began * 1e9), data)
        lookups = tuple(from_plain(LookupRecord, entry) for entry in seen.get("lookups", ()))
    except StoreAway:
        raise
    except (MitosisError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        taint = Remark("not_judged", f"what the trial loaded and read could not be checked: {error}")
        return dataclasses.replace(outcome, taints=(*outcome.taints, taint))
    return dataclasses.replace(
        outcome,
        modules=found.modules,
        lookups=lookups,
        code_identity=found.code_identity,
        inputs=found.inputs,
        outputs=found.outputs,
        taints=(*outcome.taints, *found.taints, *_redefined(store, spec, lookups)),
    )


def _redefined(store: Store, spec: TrialSpec, lookups: tuple[LookupRecord, ...]) -> list[Remark]:
    """The lock of a variant covers values in tables: other content under the same name is a taint."""
    taints = []
    for entry in dict.fromkeys(lookups):
        text = identity.canonical({"digest": entry.digest})
        name = Variant(entry.table, entry.name, identity.digest(text), text)
        try:
            store.lock(spec.code.project, spec.experiment, name, spec.settings.get("redefine", ()))
        except VariantRedefined:
            what = f"the table {entry.table} holds another value under the name {entry.name} than before"
            way_out = f"allow it with mitosis.redefine=['{name.name}'], or use a new name"
            taints.append(Remark("redefined", f"{what}; {way_out}", name.name))
    return taints


def _digests(folder: TrialFolder) -> dict[str, str]:
    """The SHA-256 of every file that is kept, so that `mitosis check` finds damage."""
    return {name: inputs.digest(path) for name, path in folder.kept().items()}


def _show(folder: TrialFolder, spec: TrialSpec, outcome: Outcome, formats: tuple[str, ...]) -> Outcome:
    """Extract the figures and render the HTML from the notebook as it was saved."""
    from mitosis.folder import write_atomic
    from mitosis.notebook import document, report

    notebook = document.read(folder.notebook)
    names = report.figures(notebook, folder.figures, formats, stamp.origin(spec))
    names += report.data(notebook, folder.plotted, folder.figures)
    outcome = dataclasses.replace(outcome, figures=tuple(names))
    page = report.html(notebook, Trial(spec, outcome)).encode()
    try:
        write_atomic(folder.html, page)
    except OSError:  # a full disk: the cause shall be there to be read
        folder.give_room()
        for cell in notebook.cells:
            cell["outputs"] = []
        write_atomic(folder.html, report.html(notebook, Trial(spec, outcome)).encode())
    return outcome
