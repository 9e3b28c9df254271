"""Watches which files the experiment opens: what it reads is an input, what it writes first an output."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Opened(NamedTuple):
    """The first time a file was opened: where from, in which state it was, and whether for writing."""

    directory: str  # the working directory for a relative path, else ""
    state: tuple[int, ...] | None  # device, inode, size, mtime_ns, ctime_ns; None: it was not there
    flags: int


_opened: dict[str, Opened] = {}
_renamed: dict[str, str] = {}  # where an output went that was written under a temporary name
_ignored: tuple[str, ...] = ()
_tree: tuple[str, ...] = ()
_watching = False
_begun = False


def begin(ignored: tuple[str, ...], tree: str) -> None:
    """Watch from now on; files below `ignored` (texts that end in a separator) are passed over.

    `tree` is where the code comes from: a checkout lies below the root, and its files count all the same.
    """
    global _ignored, _tree, _watching, _begun
    _ignored = ignored
    _tree = tuple(t for t in (tree.rstrip(os.sep) + os.sep,) if t.startswith(ignored))
    _watching = True
    if not _begun:  # a hook cannot be removed
        _begun = True
        sys.addaudithook(_hook)


def end() -> None:
    """Watch no longer: what follows is the guard's own work."""
    global _watching
    _watching = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        path, _, flags = arguments
        if path.__class__ is str:
            if path not in _opened and not _passed_over(path):
                _note(path, flags)
        elif path.__class__ is bytes:
            _other(os.fsdecode(path), flags)
    elif event == "sqlite3.connect":
        path = arguments[0]
        if isinstance(path, str | bytes | os.PathLike):
            _other(os.fsdecode(path).removeprefix("file:").partition("?")[0], os.O_RDWR)
    elif event == "os.rename":
        source, target = arguments[:2]
        if isinstance(source, str | bytes) and isinstance(target, str | bytes):
            _renamed[_absolute(os.fsdecode(source))] = _absolute(os.fsdecode(target))


def _passed_over(path: str) -> bool:
    return path.startswith(_ignored) and not path.startswith(_tree)


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.join(_here(path), path))  # noqa: PTH100, PTH118


def _other(path: str, flags: int) -> None:
    if path and path not in _opened and path != ":memory:" and not _passed_over(path):
        _note(path, flags)


def _note(path: str, flags: int) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116 - the hook pays for every object it makes
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except (OSError, ValueError):
        _opened.setdefault(path, Opened(_here(path), None, flags))
        return
    if status.st_mode & 0o170000 == 0o100000:  # a regular file
        _opened.setdefault(path, Opened(_here(path), state, flags))


def _here(path: str) -> str:
    if path[:1] == "/":
        return ""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return ""


def files(sources: set[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """What was opened, but for `sources` (paths of modules): inputs as `{path, state}`, and outputs.

    A file that was read first is an input; one that was not there, or was truncated or appended to
    first, an output; one that was opened to be changed in place is both.
    """
    inputs: list[dict[str, Any]] = []
    outputs: list[str] = []
    seen: set[str] = set()
    for path, opened in list(_opened.items()):
        absolute = os.path.abspath(os.path.join(opened.directory, path))  # noqa: PTH100, PTH118
        if absolute in seen or absolute in sources or _passed_over(absolute):
            continue
        seen.add(absolute)
        writes = bool(opened.flags & _WRITES)
        in_place = bool(opened.flags & os.O_RDWR) and not opened.flags & os.O_TRUNC
        if opened.state is not None and (not writes or in_place):
            inputs.append({"path": absolute, "state": list(opened.state)})
        if writes:
            written = absolute if os.path.isfile(absolute) else _renamed.get(absolute, absolute)  # noqa: PTH113
            if os.path.isfile(written) and not _passed_over(written):  # noqa: PTH113
                outputs.append(written)
    return inputs, outputs
