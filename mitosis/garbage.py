"""Finds and deletes what mitosis made below the root and nothing needs any more; never anything else."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis import trash
from mitosis.capture import checkout, environment
from mitosis.errors import MitosisError
from mitosis.folder import CHECKOUTS, TrialFolder, read_json, trial_folders, write_json
from mitosis.trial import HostProcess, Remark, from_plain, plain

if TYPE_CHECKING:
    from mitosis.store.store import Store

_USERS = ".users"  # below the checkouts: who needs which
_MINUTE, _HOUR, _WEEK = 60.0, 3600.0, 7 * 86400.0
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_TEMPORARY = re.compile(r"\.new-.*|\.(outcome\.json|result\.pkl)\.\d+")
_STORE_LEFTOVER = re.compile(r"mitosis\.db\.(new|rebuilt)(-wal|-shm|\.lock)?")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing below the root that may be deleted: `kind` is a stable word, `size` in bytes."""

    kind: str  # "checkout", "trash", "temporary"
    what: str  # a path
    size: int
    why: str


def use(root: Path, tree: Path) -> None:
    """Leave word that this process needs the checkout `tree`, for as long as it lives."""
    word = root / CHECKOUTS / _USERS / f"{os.getpid()}-{secrets.token_hex(4)}.json"
    with contextlib.suppress(OSError):  # without it the checkout is needed by its running trials all the same
        word.parent.mkdir(parents=True, exist_ok=True)
        write_json(word, {"tree": str(tree), "process": plain(environment.host_process())})
        atexit.register(_done, word, os.getpid())


def _done(word: Path, process: int) -> None:
    if process == os.getpid():  # not in a child that was forked
        with contextlib.suppress(OSError):
            word.unlink(missing_ok=True)


def find(store: Store, root: Path, older_than: float) -> list[Item]:
    """What can be deleted; `older_than` is the age, in seconds, of what is deleted out of the trash."""
    return [
        *_checkouts(store, root),
        *_trash(root, older_than),
        *_temporaries(root),
    ]


def delete(item: Item) -> Remark | None:
    """Delete one thing that `find` found; returns a note where that cannot be."""
    path = Path(item.what)
    try:
        if item.kind == "checkout":
            checkout.discard(path)
        elif item.kind == "trash":
            trash.empty(TrialFolder(path))
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except (OSError, MitosisError) as error:
        return Remark("not_deleted", f"{item.kind} {item.what} cannot be deleted: {error}", item.what)
    return None


def _checkouts(store: Store, root: Path) -> Iterator[Item]:
    directory = root / CHECKOUTS
    if not directory.is_dir():
        return
    needed = {trial.spec.code.tree for trial in store.running()} | set(_users(root))
    for tree in sorted(directory.iterdir()):
        if _COMMIT.match(tree.name) and tree.is_dir() and not tree.is_symlink() and str(tree) not in needed:
            yield Item(
                "checkout", str(tree), _size(tree), "no trial that runs needs it; git can make it again"
            )
        elif tree.name.startswith(".") and tree.is_dir() and tree.name != _USERS and _idle(tree) > _HOUR:
            yield Item("temporary", str(tree), _size(tree), "a checkout that was not finished")


def _users(root: Path) -> Iterator[str]:
    """The checkouts that living processes said they need; the words of dead ones are taken away."""
    for word in (root / CHECKOUTS / _USERS).glob("*.json"):
        try:
            said = read_json(word)
            alive = environment.alive(from_plain(HostProcess, said["process"]))
            tree = str(said["tree"])
        except (OSError, KeyError, TypeError, ValueError):
            alive, tree = False, ""
        if alive or (alive is None and _idle(word) < _WEEK):  # of another host nothing more is known
            yield tree
        else:
            with contextlib.suppress(OSError):
                word.unlink()


def _trash(root: Path, older_than: float) -> Iterator[Item]:
    now = datetime.now(timezone.utc)
    for folder, word in trash.trashed(root):
        age = trash.age(word, now)
        if not word.get("emptied") and age >= older_than:
            yield Item("trash", str(folder.path), _size(folder.path), f"removed {age / 86400:.1f} days ago")


def _temporaries(root: Path) -> Iterator[Item]:
    """What a killed process left of a file or folder that it was writing; nothing that is an hour young."""
    for path in _odd(root):
        if _idle(path) > _HOUR:
            yield Item(
                "temporary", str(path), _size(path), "left by a process that was killed while it wrote"
            )


def _odd(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if _STORE_LEFTOVER.fullmatch(path.name) or _TEMPORARY.fullmatch(path.name):
            yield path
    homes = {folder.path.parent for folder in trial_folders(root)}
    for home in sorted(homes):
        yield from (p for p in sorted(home.iterdir()) if _TEMPORARY.fullmatch(p.name))
    for folder in trial_folders(root):
        yield from (p for p in sorted(folder.path.iterdir()) if _TEMPORARY.fullmatch(p.name))


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def _idle(path: Path) -> float:
    """Seconds since the last change of `path` itself."""
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0
