"""Knows the files that were made here, by device and inode: under any name they are no inputs."""

from __future__ import annotations

import os
import time
from collections import deque
from operator import attrgetter

from mitosis.kernel import relay

State = tuple[int, ...]  # device, inode, size, mtime_ns, ctime_ns

_TICK = 20_000_000  # nanoseconds; a file system's clock moves in steps of up to 10 ms
_YOUNG = 1_000_000_000  # nanoseconds that an opening may take

state = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
"""What `os.stat` returned as a State; one call in C, for the hook pays for each."""

made: set[State] = set()
"""(device, inode) of files all of whose content was written here."""

pending: deque[tuple[str, int]] = deque()
"""Paths that are being opened to be made, and when; a hook hears of it before there is a file."""

_awaited: dict[str, State | None] = {}  # the state of a path before it was opened to be made
_children: dict[State, int] = {}  # files that a child made, and when
_created: dict[str, int] = {}  # paths that a child opened to make a file, and when, which it did not know yet


def state_of(path: str) -> State | None:
    """The present state of a file; None where there is none."""
    try:
        return state(os.stat(path))  # noqa: PTH116
    except (OSError, ValueError):
        return None


def begins(path: str, before: State | None) -> None:
    """`path`, whose state is `before`, is about to be created or truncated."""
    _awaited[path] = before
    pending.append((path, time.time_ns()))


def settle() -> None:
    """Learn which files are behind the pending paths; to be called before any name changes its meaning.

    One that is not there yet, or as it was, may be another thread's that is being opened: it stays for a
    second, and is then asked for only under its own path.
    """
    for _ in range(len(pending)):
        try:
            path, at = pending.popleft()
        except IndexError:  # another thread was faster
            return
        if path in _awaited and not learn(path, state_of(path), at) and time.time_ns() - at < _YOUNG:
            pending.append((path, at))


def learn(path: str, now: State | None, at: int | None = None) -> bool:
    """Note what is at `path`, in the state `now`, as made here, if it was to be made and now is."""
    if now is None or path not in _awaited or now == _awaited[path]:
        return False
    _awaited.pop(path, None)
    made.add(now[:2])
    if relay.in_child():
        relay.tell("made", [path, now[:2], at or time.time_ns()])
    return True


def gone(path: str) -> None:
    """`path` is about to go: the number of a file without another name is given to the next file."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return
    if status.st_nlink == 1:
        made.discard((status.st_dev, status.st_ino))


def told(path: str, number: list[int], at: int) -> None:
    """A child has learned what it had made."""
    _created.pop(path, None)
    _children.setdefault(tuple(number), at)


def created(path: str, at: int) -> None:
    """A child has opened `path` to make a file."""
    _created[path] = at


def by_child(path: str, found: State) -> bool:
    """Was what `path` was in the state `found` written by a child."""
    at = _children.get(found[:2], _created.get(path))
    return at is not None and found[3] > at - _TICK
