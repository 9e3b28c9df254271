"""Watches which files the experiment opens: what it reads is an input, what it writes first an output."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from mitosis.kernel import relay
from mitosis.kernel.places import Border

State = tuple[int, ...]  # device, inode, size, mtime_ns, ctime_ns

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TICK = 20_000_000  # nanoseconds; a file system's clock moves in steps of up to 10 ms
_SOURCES_OF_CHANCE = frozenset({"/dev/urandom", "/dev/random", "/dev/hwrng"})


class _File:
    """What became of a file that was not only read, and always in the same state."""

    __slots__ = ("changed", "held", "mine", "read", "written")

    def __init__(self, read: State | None = None) -> None:
        self.read = read  # the state in which its content could first be read
        self.changed = False  # it was another file, or in another state, when it was opened again
        self.written = False
        self.mine = False  # all of its content was written here
        self.held: State | None = None  # its state before a part of its content was written here

    def opened(self, state: State | None, flags: int) -> None:
        """Note one more opening; `state` None: it was not there."""
        writes = bool(flags & _WRITES)
        self.written = self.written or writes
        if self.mine:
            return
        if state is None or (writes and flags & os.O_TRUNC):
            if self.read is not None:
                self.changed = True
            elif writes:
                self.mine = True
        elif writes and not flags & os.O_RDWR:
            self.held = self.held or state
        elif self.read is None:
            self.read = self.held or state
        elif state != self.read:
            self.changed = True


_opened: dict[str, os.stat_result | _File] = {}  # a file that is only read stays what `os.stat` said
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
    _OTHERS.update(others or {})
    _watching = True
    if not _begun:  # a hook cannot be removed
        _begun = True
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
    path, _, flags = arguments
    if path.__class__ is not str:
        path = _text(path)
    if path[:1] != "/":
        path = _absolute(path)
    directory = path[: path.rfind("/")]
    counts = _counts.get(directory)
    if counts is None:
        counts = _decide(directory)
        if counts and directory.startswith("/proc/"):  # /proc/self is the kernel's to the kernel alone
            path = os.path.realpath(path)
    if not counts:
        if path in _SOURCES_OF_CHANCE and "chance" in _OTHERS:
            _OTHERS["chance"]((path,))
        return
    try:
        status = os.stat(path)  # noqa: PTH116 - the hook pays for every object it makes
    except (OSError, ValueError):
        status = None
    if status is not None and status.st_mode & 0o170000 != 0o100000:  # no regular file
        return
    known = _opened.get(path)
    if known is None and _moved:
        known = _before_the_move(path)
    if status is None or flags & _WRITES or known.__class__ is _File:
        _note(path, _state(status), flags)
    elif known is None:
        _opened[path] = status
        if relay.in_child():
            _tell(path, _state(status), flags)
    elif known.st_ctime_ns != status.st_ctime_ns or known.st_ino != status.st_ino:  # type: ignore[union-attr]
        _note(path, _state(status), flags)


def _note(path: str, state: State | None, flags: int) -> None:
    """Note what is more than the first reading of a file."""
    if not path:
        return
    file = _file_at(path)
    file.opened(state, flags)
    if relay.in_child():
        _tell(path, state, flags)


def _file_at(path: str) -> _File:
    known = _opened.get(path)
    if not isinstance(known, _File):
        known = _opened[path] = _File(_state(known))
    return known


def _tell(path: str, state: State | None, flags: int) -> None:
    relay.tell("open", [path, state, flags, time.time_ns()])


def _state(status: os.stat_result | None) -> State | None:
    if status is None:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def state_of(path: str) -> State | None:
    """The present state of a file; None where there is none."""
    try:
        return _state(os.stat(path))  # noqa: PTH116
    except (OSError, ValueError):
        return None


def _decide(directory: str) -> bool:
    """Do the files of `directory` count: by its name, or, where that is beyond, by where it really is."""
    counts = not _border.beyond(directory + "/")
    if not counts:
        counts = not _border.beyond(os.path.realpath(directory) + "/")
    if not directory.startswith("/proc/"):  # /proc/self/cwd is another directory after each chdir
        _counts[directory] = counts
    return counts


def _text(path: Any) -> str:
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


def _counted(path: Any, flags: int) -> None:
    """Note an opening that no `open` event tells of, where its path counts."""
    absolute = _absolute(_text(path))
    if absolute and _decide(absolute[: absolute.rfind("/")]):
        state = state_of(absolute)
        if state is None or os.path.isfile(absolute):  # noqa: PTH113
            _note(absolute, state, flags)


def _database(arguments: tuple[Any, ...]) -> None:
    """SQLite opens its files itself, for writing where it may."""
    path = _text(arguments[0])
    if path.startswith("file:"):
        from urllib.parse import unquote

        path = unquote(path.removeprefix("file:").partition("?")[0])
        path = path.removeprefix("//") if path.startswith("///") else path
    if not path or path.startswith(":memory:"):
        return
    _counted(path, os.O_RDWR)
    log = f"{path}-wal"
    if os.path.exists(log):  # noqa: PTH110 - what was written last may stand there alone
        _counted(log, os.O_RDWR)


def _rename(arguments: tuple[Any, ...]) -> None:
    source, target = (_absolute(_text(a)) for a in arguments[:2])
    if not source or not target:
        return
    if os.path.isdir(source):  # noqa: PTH112
        _moved.append((source + "/", target + "/"))
        return
    written = _opened.get(source)
    if isinstance(written, _File) and written.written:
        _renamed[source] = target
    _follow(written, target)


def _link(arguments: tuple[Any, ...]) -> None:
    source, target = (_absolute(_text(a)) for a in arguments[:2])
    _follow(_opened.get(source), target)


def _follow(source: os.stat_result | _File | None, target: str) -> None:
    """What was written here and gets another name is not an input under that name either."""
    if isinstance(source, _File) and source.mine and target:
        file = _file_at(target)
        file.written = True
        file.mine = file.read is None


def _before_the_move(path: str) -> _File | None:
    """What was written here into a directory that was then renamed."""
    for source, target in reversed(_moved):
        if path.startswith(target):
            _follow(_opened.get(source + path[len(target) :]), path)
            file = _opened.get(path)
            return file if isinstance(file, _File) else None
    return None


def _truncate(arguments: tuple[Any, ...]) -> None:
    _counted(arguments[0], os.O_WRONLY)


def _library(arguments: tuple[Any, ...]) -> None:
    """A library that `ctypes` loads by its path; one by its name alone is the system's."""
    path = _text(arguments[0])
    if "/" in path:
        _counted(path, os.O_RDONLY)


_OTHERS: dict[str, Callable[[tuple[Any, ...]], None]] = {
    "sqlite3.connect": _database,
    "os.rename": _rename,
    "os.link": _link,
    "os.truncate": _truncate,
    "ctypes.dlopen": _library,
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
        read = file.read if file else _state(known)  # type: ignore[arg-type]
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
        if file and file.written and now != read:
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
        if kind != "open":
            continue
        path, noted, flags, at = content
        state: State | None = tuple(noted) if noted is not None else None
        file = _file_at(path)
        creates = flags & _WRITES and (state is None or flags & os.O_TRUNC)
        if creates and file.read is not None and file.read[3] > at - _TICK:
            file.read, file.mine, file.changed = None, True, False  # it was read after the child had made it
        file.opened(state, flags)
