"""Moves trials into the trash below the root and back; the folder is the truth, the row follows it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis.errors import Refused, TrialNotFound, TrialRefused
from mitosis.folder import TRASH, TrialFolder, read_json, trial_folders, write_json
from mitosis.trial import JSON, Trial, utc_now

if TYPE_CHECKING:
    from mitosis.store.store import Store

_WORD = "removed.json"  # in the folder of a trial in the trash: when, and from where


@dataclass(frozen=True, slots=True)
class Move:
    """A trial that is to be moved, from where to where; `there`: is its folder there at all."""

    trial: str
    source: Path
    target: Path
    there: bool


def removal(store: Store, trials: Sequence[Trial], even_if_referred: bool = False) -> list[Move]:
    """The moves that would remove `trials`; nothing is done.

    Raises Refused for a trial that runs, that is removed already, whose folder is not where mitosis puts
    it, and for one that another refers to which is not among them, unless `even_if_referred`.
    """
    named = {trial.id for trial in trials}
    moves = []
    for trial in trials:
        if not trial.status.final:
            raise Refused(f"trial {trial.id} is running", "interrupt it first (Ctrl-C where it was started)")
        others = [r for r in store.references(trial.id) if r.where not in named]
        if others and not even_if_referred:
            listed = "; ".join(r.what for r in others[:3]) + ("; ..." if len(others) > 3 else "")
            raise Refused(
                f"trial {trial.id} is referred to: {listed}",
                "name those trials as well, or remove it all the same: --even-if-referred",
            )
        root = _root(trial)
        source = Path(trial.spec.folder)
        if source.is_relative_to(root / TRASH):
            raise Refused(
                f"trial {trial.id} is removed already", f"bring it back: mitosis restore {trial.id}"
            )
        target = TrialFolder.locate(root / TRASH, trial.spec.experiment, trial.id).path
        moves.append(Move(trial.id, source, target, source.is_dir()))
    return moves


def restoring(trials: Sequence[Trial]) -> list[Move]:
    """The moves that would bring `trials` back; nothing is done. Raises Refused where that cannot be."""
    moves = []
    for trial in trials:
        root = _root(trial)
        source = Path(trial.spec.folder)
        if not source.is_relative_to(root / TRASH):
            raise Refused(f"trial {trial.id} is not removed", "see it with: mitosis show " + trial.id)
        word = said(source)
        if word.get("emptied"):
            raise Refused(
                f"the files of trial {trial.id} were deleted by mitosis gc at {word['emptied']}",
                f"what is known of it is still there: mitosis show {trial.id}",
            )
        target = TrialFolder.locate(root, trial.spec.experiment, trial.id).path
        if target.exists():
            raise Refused(f"there is another folder {target}", "move it away first")
        moves.append(Move(trial.id, source, target, source.is_dir()))
    return moves


def remove(store: Store, move: Move) -> None:
    """Carry out a move into the trash. Raises TrialRefused, StoreRefused; `check` completes it."""
    with _told(move):
        if move.there:
            write_json(move.source / _WORD, {"removed_at": utc_now(), "folder": str(move.source)})
            move.target.parent.mkdir(parents=True, exist_ok=True)
            move.source.rename(move.target)
    store.mark_removed(move.trial, str(move.target))


def restore(store: Store, move: Move) -> None:
    """Carry out a move out of the trash; as `remove`."""
    with _told(move):
        if move.there:
            move.target.parent.mkdir(parents=True, exist_ok=True)
            move.source.rename(move.target)
            (move.target / _WORD).unlink(missing_ok=True)
            _prune(move.source.parent)
    store.mark_restored(move.trial, str(move.target))


def trashed(root: Path) -> Iterator[tuple[TrialFolder, dict[str, JSON]]]:
    """Every trial folder in the trash of `root`, with what was said when it was moved there."""
    for folder in trial_folders(root / TRASH):
        yield folder, said(folder.path)


def said(path: Path) -> dict[str, JSON]:
    """When the trial at `path` was removed, and since when its files are deleted; {} where unknown."""
    try:
        word = read_json(path / _WORD)
    except (OSError, ValueError):
        return {}
    return word if isinstance(word, dict) else {}


def age(word: dict[str, JSON], now: datetime) -> float:
    """Seconds since a trial was removed; 0 where that is not known."""
    at = _removed_at(word)
    return (now - at).total_seconds() if at is not None else 0.0


def _removed_at(word: dict[str, JSON]) -> datetime | None:
    try:
        at = datetime.fromisoformat(word["removed_at"])
    except (KeyError, TypeError, ValueError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def empty(folder: TrialFolder) -> None:
    """Delete what a trial in the trash keeps, but what is known of it. Raises OSError."""
    write_json(folder.path / _WORD, {**said(folder.path), "emptied": utc_now()})
    kept = {_WORD, folder.trial_json.name, folder.attestations.name}
    for entry in folder.path.iterdir():
        if entry.name in kept:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def settle(store: Store, root: Path) -> None:
    """Let the rows say what the folders say, where a command was cut off in between."""
    for folder, word in trashed(root):
        at = word["removed_at"] if _removed_at(word) is not None else None
        with contextlib.suppress(TrialNotFound):  # its trial.json cannot be read
            store.mark_removed(folder.path.name, str(folder.path), at)


def _root(trial: Trial) -> Path:
    """The root that holds the trial's folder; nothing else is ever touched. Raises Refused."""
    folder = Path(trial.spec.folder)
    depth = len(Path(trial.spec.experiment).parts)
    refusal = Refused(
        f"the folder of trial {trial.id} is not where mitosis keeps folders: {folder}",
        "move it back, then: mitosis check --rebuild",
    )
    if len(folder.parts) <= depth + 1 or folder.is_symlink():
        raise refusal
    root = TrialFolder(folder).root(trial.spec.experiment)
    if root.name == TRASH:
        root = root.parent
    expected = {
        TrialFolder.locate(base, trial.spec.experiment, trial.id).path for base in (root, root / TRASH)
    }
    if folder not in expected or (folder.exists() and not folder.resolve().is_relative_to(root.resolve())):
        raise refusal
    return root


def _prune(directory: Path) -> None:
    """Remove directories that a restored trial left empty in the trash."""
    with contextlib.suppress(OSError):
        while directory.name != TRASH:
            directory.rmdir()
            directory = directory.parent


@contextlib.contextmanager
def _told(move: Move) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrialRefused(
            f"{move.source} cannot be moved to {move.target}: {error.strerror or error}",
            "make both places writable and try again",
        ) from error
