"""Keeps, below the root, what else the store alone knows of a sweep: command, size, stand-ins."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis.errors import TrialNotFound
from mitosis.folder import read_json, write_json

if TYPE_CHECKING:
    from mitosis.store.store import Store

SWEEPS = ".sweeps"  # below the root
_ENDING = ".stand-ins"


def keep(root: Path, sweep: str, project: str, command: str, size: int | None, started_at: str) -> None:
    """Leave word of a sweep that begins; one that goes on keeps its own. Without it the store knows it."""
    file = root / SWEEPS / f"{sweep}.json"
    with contextlib.suppress(OSError):
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            document = {"project": project, "command": command, "size": size, "started_at": started_at}
            write_json(file, document)


def stand_in(root: Path, sweep: str, job: int, trial: str) -> None:
    """Note that an earlier trial stands for a job."""
    with contextlib.suppress(OSError):
        file = os.open(root / SWEEPS / f"{sweep}{_ENDING}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(file, f"{job} {trial}\n".encode())  # one write: workers note at once
        finally:
            os.close(file)


def forget(root: Path, sweep: str) -> None:
    """Take the word of a sweep away of which nothing was begun."""
    with contextlib.suppress(OSError):
        (root / SWEEPS / f"{sweep}.json").unlink()


def copy(root: Path, other: Path) -> None:
    """Take over what another root knows of sweeps that this one does not know. Raises OSError."""
    for file in sorted((other / SWEEPS).glob("*")):
        target = root / SWEEPS / file.name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)


def bring_in(store: Store, root: Path) -> None:
    """Let the store know the sweeps; their trials are there already. What cannot be read is left out."""
    for file in sorted((root / SWEEPS).glob("*.json")):
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
            said = read_json(file)
            store.begin_sweep(file.stem, said["project"], said["command"], said["size"], said["started_at"])
            _stand_ins(store, file)


def _stand_ins(store: Store, file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for line in file.with_suffix(_ENDING).read_text().splitlines():
            job, _, trial = line.partition(" ")
            with contextlib.suppress(TrialNotFound):  # it was deleted for good
                store.stand_in(file.stem, int(job), trial)
