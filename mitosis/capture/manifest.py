"""The manifest of a checkout: what each of its files was when it was made, and whether it still is.

A JSON file `<name>.json` beside the directory: path -> kind, SHA-256 (or a link's target), and what stat
said, so that an untouched file need not be read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mitosis.capture import git


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a checkout that is no directory."""

    kind: str  # "file", "executable", "link", "shared" (a link that `share` made)
    content: str  # SHA-256 of a file's content, or a link's target
    stamp: tuple[int, ...] = ()  # size, mtime_ns, ctime_ns, inode of a file when it was hashed


def damage(destination: Path, thorough: bool = False) -> tuple[str, ...]:
    """What differs between a checkout and its manifest ("changed a.py", "missing ...", "added ..."), sorted.

    A file whose size, times and inode are as they were is not read again, unless `thorough`.
    """
    expected = read(destination)
    if expected is None:
        return (f"missing {git.shown(beside(destination).name)}",)
    if not destination.is_dir():
        return (f"missing {git.shown(destination.name)}",)
    found = dict(_walk(destination))
    wrong = [f"added {git.shown(path)}" for path in found.keys() - expected.keys()]
    for path, entry in expected.items():
        if path not in found:
            if entry.kind != "shared":  # its link is made after the manifest says so
                wrong.append(f"missing {git.shown(path)}")
        elif not _same(destination / path, found[path], entry, thorough):
            wrong.append(f"changed {git.shown(path)}")
    return tuple(sorted(wrong))


def seal(tree: Path) -> dict[str, Entry]:
    """Take the write permissions from all files and directories below `tree`, and describe the files."""
    for folder, _, files in os.walk(tree):
        for path in [Path(folder), *(Path(folder) / name for name in files)]:
            if not path.is_symlink() and path != tree:
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    entries = {}
    for name, status in _walk(tree):
        if stat.S_ISLNK(status.st_mode):
            entries[name] = Entry("link", os.readlink(tree / name))  # noqa: PTH115 (text as it is)
        else:
            entries[name] = Entry(_kind(status), _digest(tree / name), _stamp(status))
    return entries


def _same(path: Path, status: os.stat_result, entry: Entry, thorough: bool) -> bool:
    if entry.kind in ("link", "shared"):
        return stat.S_ISLNK(status.st_mode) and os.readlink(path) == entry.content  # noqa: PTH115
    if _kind(status) != entry.kind:
        return False
    return (not thorough and _stamp(status) == entry.stamp) or _digest(path) == entry.content


def _kind(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "other"
    return "executable" if status.st_mode & 0o100 else "file"


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _walk(top: Path, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Every path under `top` that is no directory, with what lstat says of it."""
    with os.scandir(top / below) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(top, path)
            else:
                yield path, entry.stat(follow_symlinks=False)


def beside(destination: Path) -> Path:
    """Where the manifest of the checkout `destination` lies."""
    return destination.with_name(f"{destination.name}.json")


def read(destination: Path) -> dict[str, Entry] | None:
    """The entries by path; None where there is no manifest, or none that can be read."""
    try:
        document = json.loads(beside(destination).read_bytes())
        return {
            path: Entry(kind, text, tuple(stamp)) for path, (kind, text, stamp) in document["files"].items()
        }
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(destination: Path, entries: Mapping[str, Entry]) -> None:
    """Replace the manifest of `destination` at once."""
    files = {path: [entry.kind, entry.content, entry.stamp] for path, entry in entries.items()}
    handle, name = tempfile.mkstemp(prefix=f".{destination.name}.", dir=destination.parent)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        json.dump({"version": 1, "files": files}, file)
    Path(name).chmod(0o644)
    Path(name).replace(beside(destination))
