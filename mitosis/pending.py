"""Leaves word, below the root, of trials whose folder may be there without a row in the store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mitosis.errors import TrialRefused
from mitosis.folder import TrialFolder, read_json, write_json
from mitosis.trial import JSON

PENDING = ".pending"  # below the root


@contextlib.contextmanager
def announced(root: Path, trial_id: str, folder: TrialFolder, process: JSON) -> Iterator[None]:
    """Leave word of a folder that has no row yet, for as long as that lasts; see `unfinished`.

    Raises TrialRefused where the root cannot be written.
    """
    word = announce(root, trial_id, folder, process)
    yield
    word.unlink(missing_ok=True)  # not after an error: the next command looks what is there


def announce(root: Path, trial_id: str, folder: TrialFolder, process: JSON) -> Path:
    """Leave word of a folder whose row may not be there; returns the word, see `unfinished`.

    Raises TrialRefused where the root cannot be written.
    """
    word = root / PENDING / f"{trial_id}.json"
    try:
        word.parent.mkdir(parents=True, exist_ok=True)
        write_json(word, {"folder": str(folder.path), "process": process})
    except OSError as error:
        todo = "make room or make it writable, or choose another root: mitosis.root=DIRECTORY"
        raise TrialRefused(f"cannot write {word}: {error.strerror or error}", todo) from error
    return word


def unfinished(root: Path) -> Iterator[tuple[Path, JSON]]:
    """The words of `announce` where the launcher vanished in between or had no store, each with its file."""
    directory = root / PENDING
    if not directory.is_dir():
        return
    for word in sorted(directory.glob("*.json")):
        try:
            yield word, read_json(word)
        except FileNotFoundError:
            continue  # it was finished meanwhile
        except ValueError:
            yield word, None
