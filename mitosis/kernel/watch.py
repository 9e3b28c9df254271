"""Watches which files the experiment opens: what it reads is an input, what it writes first an output."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from mitosis.kernel import making, relay
from mitosis.kernel.making import State, state_of
from mitosis.kernel.places import Border

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SOURCES_OF_CHANCE = frozenset({"/dev/urandom", "/dev/random", "/dev/hwrng"})


class _File:
    """What became of a file that was not only read, and always in the same state."""

    __slots__ = ("changed", "held", "read", "written")

    def __init__(self, read: State | None = None) -> None:
        self.read = read  # the state in which its content could first be read
        self.changed = False  # it was another file, or in another state, when it was opened again
        self.written = False
        self.held: State | None = None  # its state before a part of its content was written here

    def opened(self, state: State | None, flags: int, made: bool) -> None:
        """Note one more opening; `state` None: it was not there; `made`: all it holds was written here."""
        writes = bool(flags & _WRITES)
        self.written = self.written or writes
        if state is None or made or (writes and flags & os.O_TRUNC):
            self.changed = self.changed or self.read is not None
        elif writes and not flags & os.O_RDWR:
            self.held = self.held or state
        elif self.read is None:
            self.read = self.held or state
        elif state != self.read:
            self.changed = True


_opened: dict[str, State | _File] = {}  # of a file that is only read, always in one state, that state
_counts: dict[str, bool] = {}  # does what lies in this directory count
_renamed: dict[str, str] = {}  # where an output went that was written under a temporary name
_moved: list[tuple[str, str]] = []  # directories that were renamed
_border = Border((), ())
_watching = False
_begun = False
_within = threading.local()  # .directory: what a relative path in this thread is relative to


def begin(border: Border, others: Mapping[str, Callable[[tuple[Any, ...]], None]] | None = None) -> None:
    """Watch from now on; files beyond `border` are passed over.

    `others` are called with the arguments of further events (of Python's table of audit events), and
    under the name `chance` with the path of a system's generator that is opened.
    """
    global _border, _watching, _begun
    _border = border
    _counts.clear()
    from mitosis.kernel import openings

    _OTHERS.update({**openings.EVENTS, **(others or {})})
    _watching = True
    if not _begun:  # a hook cannot be removed
        _begun = True
        os.register_at_fork(after_in_child=_become)
        sys.addaudithook(_hook)
        _watch_relative()


def end() -> None:
    """Watch no longer: what follows is the guard's own work."""
    global _watching
    _watching = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open":
        other = _OTHERS.get(event)
        if other is not None and _watching:
            other(arguments)
        return
    if not _watching:
        return
    path = arguments[0]
    if path.__class__ is not str:
        path = text(path)
    try:
        counts = _counts[path.rpartition("/")[0]]  # of absolute directories alone
    except KeyError:
        path = _absolute(path)
        directory = path.rpartition("/")[0]
        counts = _decide(directory)
        if counts and directory.startswith("/proc/"):  # /proc/self is the kernel's to the kernel alone
            path = os.path.realpath(path)
    if not counts:
        if path in _SOURCES_OF_CHANCE and "chance" in _OTHERS:
            _OTHERS["chance"]((path,))
        return
    if _pending:
        making.settle()
    try:
        status = _stat(path)
    except (OSError, ValueError):
        _note(path, None, arguments[2])
        return
    if status.st_mode & 0o170000 != 0o100000:  # no regular file
        return
    state = _state(status)
    if arguments[2] & _WRITES or (_made and state[:2] in _made):
        _note(path, state, arguments[2])
    elif _opened.setdefault(path, state) is not state:
        if _opened[path] != state:
            _note(path, state, arguments[2])
    elif _child:
        _tell(path, state, arguments[2])


# the hook pays for every name of another module
_stat, _state, _made, _pending = os.stat, making.state, making.made, making.pending
_child = False


def _become() -> None:
    global _child
    _child = True


def _note(path: str, state: State | None, flags: int) -> None:
    """Note what is more than the first reading of a file."""
    if not path:
        return
    making.learn(path, state)
    writes = flags & _WRITES
    made = state is not None and state[:2] in making.made
    if made and not writes and path not in _opened:
        return
    _file_at(path).opened(state, flags, made)
    if _child:
        _tell(path, state, flags)
    if writes and (state is None or flags & os.O_TRUNC):
        making.begins(path, state)


def _file_at(path: str) -> _File:
    known = _opened.get(path)
    if not isinstance(known, _File):
        known = _opened[path] = _File(known)
    return known


def _tell(path: str, state: State | None, flags: int) -> None:
    relay.tell("open", [path, state, flags, time.time_ns()])


def _decide(directory: str) -> bool:
    """Do the files of `directory` count: by its name, or, where that is beyond, by where it really is."""
    counts = _counts.get(directory)
    if counts is None:
        counts = not _border.beyond(directory + "/") or not _border.beyond(os.path.realpath(directory) + "/")
        if directory and not directory.startswith("/proc/"):  # /proc/self/cwd is another after each chdir
            _counts[directory] = counts  # '' is where a path without a directory is, too
    return counts


def text(path: Any) -> str:
    """The path as text; '' for what is no path (an open file's number)."""
    if isinstance(path, str):
        return str.__str__(path)
    if isinstance(path, bytes | os.PathLike):
        return os.fsdecode(path)
    return ""


def _absolute(path: str) -> str:
    """'' stays '', which is no file."""
    if not path or path[0] == "/":
        return path
    directory = getattr(_within, "directory", None)
    if directory is None:
        try:
            directory = os.getcwd()  # noqa: PTH109
        except OSError:
            return ""
    return os.path.join(directory, path)  # noqa: PTH118


def _watch_relative() -> None:
    """`os.open` tells its audit event nothing of `dir_fd`: tell what the path is relative to."""
    plain = os.open

    def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:  # noqa: A001
        if dir_fd is None:
            return plain(path, flags, mode)
        try:
            _within.directory = os.readlink(f"/proc/self/fd/{dir_fd}")  # noqa: PTH115
        except OSError:
            _within.directory = None
        try:
            return plain(path, flags, mode, dir_fd=dir_fd)
        finally:
            _within.directory = None

    open.__doc__ = plain.__doc__
    os.open = open
    os.supports_dir_fd.add(open)


def _at(path: Any, directory: Any) -> str:
    """The absolute path of what a call names by `path` relative to the open `directory`; -1 for none."""
    name = text(path)
    if name and name[0] != "/" and isinstance(directory, int) and directory >= 0:
        try:
            return os.path.join(os.readlink(f"/proc/self/fd/{directory}"), name)  # noqa: PTH115, PTH118
        except OSError:
            return ""
    return _absolute(name)


def _rename(arguments: tuple[Any, ...]) -> None:
    making.settle()
    source, target = _at(arguments[0], arguments[2]), _at(arguments[1], arguments[3])
    if not source or not target:
        return
    if os.path.isdir(source):  # noqa: PTH112
        _moved.append((source + "/", target + "/"))
        return
    known = _opened.get(source)
    if isinstance(known, _File) and known.written:
        _renamed[source] = target
        _file_at(target).written = True
    state = _follow(source, target)
    replaced = state_of(target)
    if state is not None and replaced is not None and state[:2] != replaced[:2]:
        making.gone(target)


def _link(arguments: tuple[Any, ...]) -> None:
    making.settle()
    _follow(_at(arguments[0], arguments[2]), _at(arguments[1], arguments[3]))


def _follow(source: str, target: str) -> State | None:
    """What was made here and gets another name is an output under that name too; returns its state."""
    state = state_of(source)
    making.learn(source, state)
    if target and state is not None and state[:2] in making.made:
        _file_at(target).written = True
    return state


def _symlink(_arguments: tuple[Any, ...]) -> None:
    making.settle()


def _remove(arguments: tuple[Any, ...]) -> None:
    making.settle()
    path = _at(arguments[0], arguments[1])
    if path and making.made:
        making.gone(path)


def counted(path: Any, flags: int) -> None:
    """Note an opening that no `open` event tells of, where its path counts."""
    absolute = _absolute(text(path))
    if absolute and _decide(absolute[: absolute.rfind("/")]):
        state = state_of(absolute)
        if state is None or os.path.isfile(absolute):  # noqa: PTH113
            _note(absolute, state, flags)


_OTHERS: dict[str, Callable[[tuple[Any, ...]], None]] = {
    "os.rename": _rename,
    "os.link": _link,
    "os.symlink": _symlink,
    "os.remove": _remove,
}


def unnoted(path: str, read: Callable[[], bytes]) -> bytes:
    """What `read` returns, its opening of `path` not noted: the loader of modules keeps a list of its own."""
    known = _opened.get(path)
    content = read()
    if known is None:
        _opened.pop(path, None)
    return content


def files(unchanged: Callable[[str], bool]) -> tuple[list[dict[str, Any]], list[str]]:
    """What was opened, here and in children: inputs as `{path, state, changed, now}`, and outputs.

    A file that was read first is an input; one that was not there, or was truncated first, an output; one
    that was changed in place is both, as is one that was read after something was appended to it.
    `state` is the one at the first reading, `changed` whether a later reading found another, `now` the
    present one where it differs. `unchanged` says of a path that it was read as a module, and holds that.
    """
    _merge()
    inputs: list[dict[str, Any]] = []
    outputs: dict[str, None] = {}
    seen: dict[str, dict[str, Any]] = {}
    for path, known in list(_opened.items()):
        plain = path if "/." not in path and "//" not in path else _plain(path)
        file = known if isinstance(known, _File) else None
        read = known.read if isinstance(known, _File) else known
        if read is not None and making.by_child(path, read):
            read = None
        now = state_of(path)
        if read is not None and not unchanged(plain):
            entry: dict[str, Any] = {"path": plain, "state": list(read)}
            if file and file.changed:
                entry["changed"] = True
            if now != read:
                entry["now"] = list(now) if now else None
            earlier = seen.setdefault(plain, entry)
            if earlier is entry:
                inputs.append(entry)
            elif earlier["state"] != entry["state"]:
                earlier["changed"] = True
        if file and file.written and (now is None or now != read):
            written = _where(plain, now)
            if written:
                outputs[written] = None
    return inputs, list(outputs)


def _where(path: str, now: State | None) -> str:
    """Where an output is at the end; '' where it is not any more."""
    if now is None:
        path = _renamed.get(path, path)
        for source, target in _moved:
            path = target + path[len(source) :] if path.startswith(source) else path
    return path if os.path.isfile(path) and not _border.beyond(path) else ""  # noqa: PTH113


def _plain(path: str) -> str:
    """The path without `.`, `..` and double separators; after a link `..` leads where the link says."""
    return os.path.realpath(path) if "/../" in path else os.path.normpath(path)


def _merge() -> None:
    """Add what the children opened."""
    for kind, content in relay.told():
        if kind == "made":
            making.told(*content)
        if kind != "open":
            continue
        path, noted, flags, at = content
        state: State | None = tuple(noted) if noted is not None else None
        file = _file_at(path)
        if flags & _WRITES and (state is None or flags & os.O_TRUNC):
            making.created(path, at)
            if file.read is not None and making.by_child(path, file.read):
                file.read, file.changed = None, False  # it was read after the child had made it
        made = state is not None and (state[:2] in making.made or making.by_child(path, state))
        file.opened(state, flags, made)
