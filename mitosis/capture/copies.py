"""Copies of files that git ignores, for a checkout that one trial has to itself and may write into."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from mitosis.capture import git
from mitosis.errors import TrialRefused

MOST_BYTES = 200_000_000
"""Up to so many bytes are copied for a trial that is not known to write; beyond, they are linked."""

_MOST_FILES = 10_000


def light(sources: Iterable[str]) -> bool:
    """Are the files, and all that is in the directories, few and small enough to be copied each time."""
    size = number = 0
    for source in sources:
        files = [source] if not Path(source).is_dir() else _files(source)
        for file in files:
            number += 1
            size += _size(file)
            if size > MOST_BYTES or number > _MOST_FILES:
                return False
    return True


def copy(destination: Path, sources: Mapping[str, str]) -> None:
    """Copy files and directories (path in the checkout -> absolute source), links as what they lead to.

    The copies can be written, and have the times of their sources. Raises TrialRefused where it fails.
    """
    try:
        for path, source in sources.items():
            target = destination / path
            if os.path.lexists(target):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(source).is_dir():
                shutil.copytree(source, target, ignore_dangling_symlinks=True)
            else:
                shutil.copy2(source, target)
            for folder, _, names in (
                os.walk(target) if target.is_dir() else [(target.parent, (), [target.name])]
            ):
                for one in (Path(folder), *(Path(folder) / name for name in names)):
                    one.chmod(one.stat().st_mode | 0o200)
    except (OSError, shutil.Error) as e:
        raise TrialRefused(
            f"an input cannot be copied into {git.shown(str(destination))}: {e}",
            "free the disk, give yourself the right to it, or choose another root: mitosis.root=DIR",
        ) from e


def touched(path: str, written: Iterable[str]) -> bool:
    """Was something written at `path`, below it, or was it made anew together with what holds it."""
    return any(w == path or w.startswith(f"{path}/") or path.startswith(f"{w}/") for w in written)


def _files(directory: str) -> Iterable[str]:
    return (os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names)  # noqa: PTH118


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError:  # a link that leads nowhere
        return 0
