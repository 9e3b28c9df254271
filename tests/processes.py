"""Processes held by handle, so that a test awaits an end instead of sleeping, and no number is mistaken."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterable
from pathlib import Path

WAIT_SECONDS = 15.0


def parents() -> dict[int, int]:
    """The parent of every process there is."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def below(pid: int) -> set[int]:
    """The process and all that descend from it."""
    tree = parents()
    family = {pid}
    while True:
        more = {child for child, parent in tree.items() if parent in family} - family
        if not more:
            return family
        family |= more


def children(pid: int) -> set[int]:
    """The processes that `pid` is the parent of."""
    return {child for child, parent in parents().items() if parent == pid}


def command(pid: int) -> str:
    """The command line of a process; '' where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


class Handles:
    """Open handles of processes; `gone` waits until every one of them has ended."""

    def __init__(self, pids: Iterable[int]) -> None:
        self.names: dict[int, str] = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                self.names[os.pidfd_open(pid)] = f"{pid} {command(pid)}"

    def gone(self, seconds: float = WAIT_SECONDS) -> list[str]:
        """Those that have not ended after `seconds`."""
        left, end = set(self.names), time.monotonic() + seconds
        while left and time.monotonic() < end:
            ready, _, _ = select.select(list(left), [], [], max(0.0, end - time.monotonic()))
            left -= set(ready)
        return [self.names[fd] for fd in left]

    def close(self) -> None:
        for fd in self.names:
            os.close(fd)
