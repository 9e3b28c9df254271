"""Closes the trials whose launcher is gone, and remembers for other commands where the store is."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitosis import ends, environments
from mitosis.capture import code, environment
from mitosis.folder import TrialFolder, write_atomic
from mitosis.pending import unfinished
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
    where its launcher is on another host and has not been heard of for SILENT_SECONDS. One whose folder
    cannot be read, because it is another user's, stays as it is.
    """
    if trial.status.final:
        return trial
    try:
        return _ended(store, trial)
    except OSError:
        return trial


def _ended(store: Store, trial: Trial) -> Trial:
    told = _told(trial) or ends.kept(trial.spec)
    if told is not None:
        return _file(store, told)
    alive = _alive(trial.spec.process, lambda: store.silences().get(trial.id, 0.0))
    return trial if alive else _close(store, trial)


def _told(trial: Trial) -> Trial | None:
    """The whole trial where its folder tells how it ended."""
    try:
        found = _kept(TrialFolder(trial.spec.folder))
    except OSError:
        return None
    return found if found is not None and found.id == trial.id and found.status.final else None


def _kept(folder: TrialFolder) -> Trial | None:
    """The trial as the folder tells it; None where it tells none that is whole. Raises OSError."""
    document = folder.read_json(folder.trial_json)
    try:
        return from_plain(Trial, document) if isinstance(document, dict) else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _file(store: Store, trial: Trial) -> Trial:
    """Bring the row up to date with a trial that ended while the store was away."""
    folder = TrialFolder(trial.spec.folder)
    assert trial.outcome is not None
    written = folder.read_json(folder.outcome)
    from mitosis import closing

    if isinstance(written, dict) and "modules" in written:  # all of it was written but the row
        closing.end_row(store, trial)
        return trial
    return closing.close(store, trial.spec, trial.outcome)


def _bring_in(store: Store, root: Path) -> None:
    """Give a row to each folder whose launcher vanished before filing it, or had no store at the end.

    Then `settled` ends it as it ends every other one.
    """
    for word, said in unfinished(root):
        try:
            process = from_plain(HostProcess, said["process"])
            folder = TrialFolder(said["folder"])
        except (KeyError, TypeError, ValueError):
            word.unlink(missing_ok=True)  # it was cut off before there was a folder
            continue
        try:
            trial = _kept(folder)
        except OSError:  # another command may be able to read it
            continue
        over = trial is not None and trial.status.final
        if not over and _alive(process, functools.partial(_age, word)):
            continue
        if trial is not None:  # else `check` names what is left
            known = environments.read(root, trial.spec.environment)
            store.adopt(Trial(trial.spec), known)
        word.unlink(missing_ok=True)


def _alive(process: HostProcess, silence: Callable[[], float]) -> bool:
    """Is a launcher alive; on another host by the seconds since it was last heard of."""
    alive = environment.alive(process)
    return silence() < SILENT_SECONDS if alive is None else alive


def _age(word: Path) -> float:
    try:
        return time.time() - word.stat().st_mtime
    except FileNotFoundError:  # its launcher went on
        return 0.0


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
    of = str(code.main_tree(repository))
    said = {"root": str(root), "store": display_url(url), "project": project, "of": of, "at": utc_now()}
    content = json.dumps(said).encode()
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, content)
    except (OSError, ValueError) as error:
        return Remark("no_pointer", f"where the store is could not be remembered: {error}", str(path))
    return None


def pointer(repository: Path) -> dict[str, Any] | None:
    """What `leave_pointer` left: root, store, project, at, and the top of the main working tree then.

    None where there is none that can be read.
    """
    try:
        found = json.loads((code.git_common_dir(repository) / POINTER).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "store" in found else None
