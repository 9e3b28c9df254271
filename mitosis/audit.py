"""Holds the store against the folders and the repository: damage, orphans, a store made anew, a merge."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis import attesting, environments, labels, settle, sweeps, trash
from mitosis.capture import code, git, inputs
from mitosis.errors import MitosisError, Refused
from mitosis.folder import TRASH, TrialFolder, trial_folders
from mitosis.pending import unfinished
from mitosis.trial import Remark, Status, Trial, from_plain

if TYPE_CHECKING:
    from mitosis.store import Store

_PAGE = 500  # trials that are read at once


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found: how much it looked at, what it brought in, and the damage."""

    trials: int
    files: int
    adopted: tuple[str, ...]  # ids of trials whose folder had no row
    damage: tuple[Remark, ...]
    refs: int = 0  # commits whose ref was gone and is there again


def without_store(root: Path) -> Audit:
    """What is to say where there is no store: folders of trials are damage, and they are all it takes."""
    folders = sum(1 for _ in trial_folders(root)) if root.is_dir() else 0
    if not folders:
        return Audit(0, 0, (), ())
    what = f"there is no store, and {folders} folders of trials: make it anew with mitosis check --rebuild"
    return Audit(0, 0, (), (Remark("no_store", what, str(root)),))


def audit(
    store: Store,
    root: Path,
    repository: Path | None,
    tell: Callable[[int], None],
    project: str | None = None,
) -> Audit:
    """Check every trial of the store against its folder, every folder against the store, the store itself.

    A folder without a row is brought in, as is any end that only the folder knows, and a commit whose ref is
    gone gets it again: of trials that ran in the `repository`, or are of its `project`. `tell` is
    called with the number of trials that have been looked at.
    """
    with store.burst():
        return _audited(store, root, repository, tell, project)


def _audited(
    store: Store,
    root: Path,
    repository: Path | None,
    tell: Callable[[int], None],
    project: str | None,
) -> Audit:
    adopted = tuple(bring_in(store, root))
    damage = [Remark("store_damaged", line, store.url) for line in store.integrity()]
    commits: dict[str, str] = {}
    trials = files = 0
    for trial, removed in _all(store):
        trials += 1
        tell(trials)
        if trial.status is Status.RUNNING:
            continue  # on another host, or alive
        code_state = trial.spec.code
        if repository is not None and (
            code_state.repository == str(repository) or code_state.project == project
        ):
            commits.setdefault(code_state.commit, trial.id)
        if removed and (trash.said(Path(trial.spec.folder)).get("emptied") or not _there(trial)):
            continue  # it was deleted for good, and is still counted
        looked, wrong = _folder(trial)
        files += looked
        damage += wrong
    refs = 0
    if repository is not None and commits:
        gone = _commits(repository, commits)
        damage += gone.values()
        refs = _kept_again(repository, commits.keys() - gone.keys(), damage)
    return Audit(trials, files, adopted, tuple(damage), refs)


def every(store: Store) -> Iterator[Trial]:
    """All trials of the store that are not in the trash, newest first, a page at a time."""
    for trial, removed in _all(store):
        if not removed:
            yield trial


def _all(store: Store) -> Iterator[tuple[Trial, bool]]:
    """As `every`, those in the trash too, each with whether it is."""
    from mitosis.store import Query

    after: str | None = None
    while page := store.find(Query(limit=_PAGE, after=after, removed=True)):
        removed = {line.id: line.removed for line in page}
        for trial in store.whole([line.id for line in page]):
            yield trial, removed[trial.id]
        after = page[-1].id


def _there(trial: Trial) -> bool:
    return Path(trial.spec.folder).is_dir()


def _folder(trial: Trial) -> tuple[int, list[Remark]]:
    """How many files of the trial were digested, and what is wrong with them."""
    folder = TrialFolder(trial.spec.folder)
    if not folder.path.is_dir():
        return 0, [Remark("folder_gone", f"the folder of trial {trial.id} is not there", str(folder.path))]
    wrong = []
    try:
        written = from_plain(Trial, folder.read_json(folder.trial_json))
        if written.id == trial.id and not written.status.final:
            written = _mended(trial, written)
    except (OSError, KeyError, TypeError, ValueError):
        wrong.append(
            Remark("file_damaged", f"trial.json of {trial.id} cannot be read", str(folder.trial_json))
        )
    else:
        if written.id != trial.id or written.status is not trial.status:
            what = f"trial.json says {written.id} {written.status.value}, the store {trial.status.value}"
            wrong.append(Remark("row_differs", what, str(folder.trial_json)))
    digests = trial.outcome.files if trial.outcome is not None else {}
    for name, digest in digests.items():
        path = folder.path / name
        try:
            same = inputs.digest(path) == digest
        except MitosisError:
            wrong.append(Remark("file_gone", f"a file of trial {trial.id} is not there", str(path)))
            continue
        if not same:
            wrong.append(
                Remark("file_damaged", f"a file of trial {trial.id} is not what was written", str(path))
            )
    return len(digests), wrong


def _mended(trial: Trial, written: Trial) -> Trial:
    """What the folder says of the trial once it was told how it ended; `written` where that cannot be."""
    from mitosis import closing

    try:
        closing.mend(trial)
    except (MitosisError, OSError):
        return written
    return trial


def _commits(repository: Path, commits: dict[str, str]) -> dict[str, Remark]:
    """The recorded commits that git has lost."""
    wanted = "".join(f"{commit}\n" for commit in commits).encode()
    answer = git.attempt(repository, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=wanted)
    held = {line.split()[0] for line in answer.stdout.decode().splitlines() if line.endswith(" commit")}
    return {
        commit: Remark(
            "commit_gone", f"git has lost commit {commit}, which trial {trial} ran", str(repository)
        )
        for commit, trial in commits.items()
        if commit not in held
    }


def _kept_again(repository: Path, commits: Collection[str], damage: list[Remark]) -> int:
    """Give its ref to each of the commits that has lost it; returns how many got it."""
    there = code.kept(repository)
    remarks = [code.keep(repository, commit) for commit in sorted(commits) if commit not in there]
    damage += [remark for remark in remarks if remark is not None]
    return remarks.count(None)


def bring_in(store: Store, root: Path) -> Iterator[str]:
    """Give a row to every folder below `root` that has none; yields the ids.

    A trial whose launcher is gone is closed as if its row had been there. Those in the trash are brought in
    with their mark, and a mark that the folder contradicts is mended.
    """
    filing = {word.stem for word, _ in unfinished(root)}  # by a launcher, at this moment
    known_at = _places(store)
    for folder in (*trial_folders(root), *trial_folders(root / TRASH)):
        if known_at.get(folder.path.name) == str(folder.path):
            said = attesting.kept(folder)
            if said:
                store.keep_attestations(folder.path.name, said)
            continue
        trial = _read(folder)
        if trial is None or trial.id in filing:
            continue
        known = environments.read(root, trial.spec.environment)
        adopted = store.adopt(trial, known)
        found = attesting.kept(folder)
        if found:
            store.keep_attestations(trial.id, found)
        if not (adopted or folder.path.is_relative_to(root / TRASH)) and not _there(store.get(trial.id)):
            store.mark_restored(trial.id, str(folder.path))  # its row says a place where it is not
        if adopted:
            settle.settled(store, trial)
            yield trial.id
    trash.settle(store, root)
    sweeps.bring_in(store, root)


def _places(store: Store) -> dict[str, str]:
    """By id, the folder of each trial that the store knows, where the store says it is."""
    from mitosis.store import Query

    return {line.id: line.folder for line in store.find(Query(limit=None, removed=True))}


def _read(folder: TrialFolder) -> Trial | None:
    """The trial as its trial.json tells it, at the place where the folder is now; None: it cannot be read."""
    from dataclasses import replace

    try:
        trial = from_plain(Trial, folder.read_json(folder.trial_json))
    except (OSError, KeyError, TypeError, ValueError):
        return None
    spec = labels.applied(trial.spec, folder)
    return replace(trial, spec=replace(spec, folder=str(folder.path)))


def rebuild(root: Path, database: Path) -> int:
    """Make the SQLite store of `root` anew from the folders alone; returns the number of trials.

    The old file is kept beside it with the ending `.old`. Raises Refused where the new one cannot be made.
    """
    from mitosis.store import Store

    fresh = database.with_name(f"{database.name}.rebuilt")
    _remove(fresh)
    with Store.open(str(fresh)) as store:
        number = sum(1 for _ in bring_in(store, root))
    try:
        old = database.with_name(f"{database.name}.old")
        for ending in ("", "-wal", "-shm"):  # the log of the old file may hold its last rows
            part = database.with_name(database.name + ending)
            if part.exists():
                part.replace(old.with_name(old.name + ending))
        fresh.replace(database)
    except OSError as error:
        raise Refused(
            f"the store {database} cannot be replaced: {error}", "make its directory writable"
        ) from error
    finally:
        _remove(fresh)
    return number


def _remove(database: Path) -> None:
    for ending in ("", "-wal", "-shm", ".lock"):
        database.with_name(database.name + ending).unlink(missing_ok=True)


def merge(store: Store, root: Path, other: Path) -> tuple[list[str], list[str]]:
    """Copy the trials of another root that the store does not know, and file them; returns their ids.

    The ids after those are of trials that have not ended: a copy would never do so, and is not made. Raises
    Refused where a folder cannot be copied; those before it are filed.
    """
    if not other.is_dir():
        raise Refused(
            f"there is no directory {other}", "name the root of the other trials: mitosis check --merge DIR"
        )
    merged, unended = [], []
    for folder in trial_folders(other):
        trial = _read(folder)
        if trial is None:
            continue
        target = TrialFolder.locate(root, trial.spec.experiment, trial.id)
        if target.path.exists():
            continue
        if not trial.status.final:
            unended.append(trial.id)
            continue
        _copy(folder, target)
        moved = _read(target)
        if moved is None:
            continue
        content = environments.read(other, moved.spec.environment)
        if content is not None:
            environments.keep(root, moved.spec.environment, content)
        if store.adopt(moved, content):
            store.keep_attestations(trial.id, attesting.kept(target))
            merged.append(trial.id)
    with contextlib.suppress(OSError):
        sweeps.copy(root, other)
    sweeps.bring_in(store, root)
    return merged, unended


def _copy(folder: TrialFolder, target: TrialFolder) -> None:
    """Copy a folder whole or not at all. Raises Refused."""
    aside = target.aside()
    try:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder.path, aside, symlinks=True)
        aside.rename(target.path)
    except OSError as error:  # shutil.Error too, which is a list of what could not be copied
        shutil.rmtree(aside, ignore_errors=True)
        what = f"the trial in {folder.path} cannot be copied: {error.strerror or error}"
        raise Refused(what, "make room and the files readable, then merge again") from error
