"""Closes the trials whose launcher is gone, and remembers for other commands where the store is."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitosis import ends
from mitosis.capture import code, environment
from mitosis.folder import TrialFolder, unfinished, write_atomic
from mitosis.trial import HostProcess, Remark, Status, Trial, from_plain, shifted, utc_now

if TYPE_CHECKING:
    from mitosis.store.store import Store

SILENT_SECONDS = 300.0
"""A launcher beats every ten seconds; after so many it counts as gone where nobody can look for it."""

POINTER = Path("mitosis", "pointer.json")  # below git's common directory


def settle(store: Store, root: Path | None) -> list[Trial]:
    """End every trial whose launcher vanished: by its outcome.json where that is whole, else as `lost`.

    A folder below `root` that never got its row is brought in. Returns the trials that were closed.
    """
    if root is not None:
        _bring_in(store, root)
    looked_at = [settled(store, trial) for trial in store.running()]
    return [trial for trial in looked_at if trial.status.final]


def settled(store: Store, trial: Trial) -> Trial:
    """`trial`, ended where it is over and its row does not say so yet.

    It is over where its folder says how it ended (the store was away then), where its launcher is gone, and
    where its launcher is on another host and has not been heard of for SILENT_SECONDS.
    """
    if trial.status.final:
        return trial
    told = _told(trial) or ends.kept(trial.spec)
    if told is not None:
        return _file(store, told)
    alive = environment.alive(trial.spec.process)
    if alive is None:
        alive = store.silences().get(trial.id, 0.0) < SILENT_SECONDS
    return trial if alive else _close(store, trial)


def _told(trial: Trial) -> Trial | None:
    """The whole trial where its folder tells how it ended."""
    folder = TrialFolder(trial.spec.folder)
    try:
        document = folder.read_json(folder.trial_json)
        found = from_plain(Trial, document) if isinstance(document, dict) else None
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return found if found is not None and found.id == trial.id and found.status.final else None


def _file(store: Store, trial: Trial) -> Trial:
    """Bring the row up to date with a trial that ended while the store was away."""
    folder = TrialFolder(trial.spec.folder)
    assert trial.outcome is not None
    written = folder.read_json(folder.outcome)
    if isinstance(written, dict) and "modules" in written:  # all of it was written but the row
        store.finish(trial.id, trial.outcome)
        return trial
    from mitosis import closing

    return closing.close(store, trial.spec, trial.outcome)


def _bring_in(store: Store, root: Path) -> None:
    """Give a row to each folder whose launcher vanished between making it and filing it."""
    for word, said in unfinished(root):
        try:
            process = from_plain(HostProcess, said["process"])
            folder = TrialFolder(said["folder"])
        except (KeyError, TypeError, ValueError):
            word.unlink(missing_ok=True)  # it was cut off before there was a folder
            continue
        if environment.alive(process) is not False:
            continue
        with contextlib.suppress(
            KeyError, TypeError, ValueError, AttributeError
        ):  # `check` names what is left
            document = folder.read_json(folder.trial_json)
            if document is not None:
                store.adopt(from_plain(Trial, document))
        word.unlink(missing_ok=True)


def _close(store: Store, trial: Trial) -> Trial:
    from mitosis import closing  # nearly every look finds nothing to close

    folder = TrialFolder(trial.spec.folder)
    written = closing.guard_outcome(folder) if folder.path.is_dir() else None
    reason = "the launcher vanished before the experiment ended"
    if written is not None and written.status.final:
        outcome, finished = written, shifted(written.finished_at, -trial.spec.process.ahead)
    else:
        outcome, finished = closing.decide(written, Status.LOST, reason), store.now()
    outcome = dataclasses.replace(outcome, finished_at=finished)
    if not folder.path.is_dir():
        remark = Remark("folder_gone", "the trial's folder is not there", trial.spec.folder)
        outcome = dataclasses.replace(outcome, notes=(*outcome.notes, remark))
        store.finish(trial.id, outcome)
        return Trial(trial.spec, outcome)
    return closing.close(store, trial.spec, outcome)


def leave_pointer(repository: Path, root: Path, url: str, project: str) -> Remark | None:
    """Write root, URL and project of this run, without password, below git's common directory.

    Returns a note where that directory cannot be written.
    """
    from mitosis.store.store import display_url

    path = code.git_common_dir(repository) / POINTER
    content = json.dumps(
        {"root": str(root), "store": display_url(url), "project": project, "at": utc_now()}
    ).encode()
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, content)
    except (OSError, ValueError) as error:
        return Remark("no_pointer", f"where the store is could not be remembered: {error}", str(path))
    return None


def pointer(repository: Path) -> dict[str, Any] | None:
    """What `leave_pointer` left: root, store, project, at; None where there is none that can be read."""
    try:
        found = json.loads((code.git_common_dir(repository) / POINTER).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "store" in found else None
