"""Ends what an experiment left running when launcher, kernel and fork server are all gone."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from mitosis.folder import TrialFolder

MARK = "MITOSIS_TRIAL"
"""The variable in the environment of a kernel, and of what it starts: the id of the trial."""

_FORKED = b"PYDEVD_DISABLE_FILE_VALIDATION=1"  # in the environment of every kernel, see notebook/forking.py
_ROUNDS = 20  # what is killed may have started another in that moment


def end(folder: TrialFolder, trial: str) -> int:
    """Kill every process of this user that belongs to the kernel of the trial; returns how many there were.

    A process belongs to it that bears its mark, or that is in the session which it led. To be called when the
    kernel cannot run any more. Where /proc is not there (macOS) nothing is found.
    """
    word = folder.read_json(folder.kernel)
    pid, started = (word.get("pid"), word.get("started")) if isinstance(word, dict) else (None, None)
    with contextlib.suppress(OSError):
        folder.kernel.unlink()
    if sys.platform != "linux" or not isinstance(pid, int) or not isinstance(started, int):
        return 0
    spared, killed = _line(), set()
    for _ in range(_ROUNDS):
        found = [each for each in _belonging(pid, started, trial) if each not in spared]
        if not found:
            break
        for each in found:
            with contextlib.suppress(OSError):
                os.kill(each, signal.SIGKILL)
                killed.add(each)
    return len(killed)


def _line() -> set[int]:
    """This process and those that it descends from: a command may be run from inside an experiment."""
    line, pid = set(), os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        pid = _stat(pid)[1]
    return line


def _belonging(leader: int, started: int, trial: str) -> Iterator[int]:
    mark, me = f"{MARK}={trial}".encode(), os.geteuid()
    reused = _stat(leader)[3] not in (-1, started)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if entry.stat().st_uid != me:
                continue
            pid = int(entry.name)
            state, _, session, began = _stat(pid)
            if state in "ZX" or began < started:
                continue
            environ = (entry / "environ").read_bytes().split(b"\0")
            if mark in environ or (session == leader and not reused and _FORKED in environ):
                yield pid


def _stat(pid: int) -> tuple[str, int, int, int]:
    """State, parent, session, start (clock ticks since boot) of a process; X and -1 where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "X", -1, -1, -1
    fields = text.rpartition(")")[2].split()  # the name before may hold anything, proc_pid_stat(5)
    return fields[0], int(fields[1]), int(fields[3]), int(fields[19])
