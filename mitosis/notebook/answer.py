"""Ends a kernel that has done its work and does not say so: a broken one would be waited for without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from mitosis.folder import RETURNED, TrialFolder
from mitosis.notebook.kernels import Kernel

LOOKS = 10  # without any word of a kernel whose work is done, and which does nothing
MOST_LOOKS = 300  # without any word of one that still does something: large output is on its way
LOOK_SECONDS = 1.0  # between two of them; looks are counted, since a busy launcher may itself be late
_AT_REST = 2  # ticks of the processor's clock in which a kernel may look after itself between two looks


async def awaited(path: Path, kernel: Kernel, heard: Callable[[], int]) -> None:
    """Kill the kernel, and return, once its work is done and nothing is heard or seen of it any more.

    Its work is done where the call has returned and the next cell has not begun, and where the outcome is
    written. `path` is the trial's folder; `heard` counts the kernel's messages.
    """
    signs = (path / RETURNED, TrialFolder(path).outcome)
    before: tuple[object, ...] = ()
    worked, looks, idle = 0, 0, 0
    try:
        while looks < MOST_LOOKS and idle < LOOKS:
            await asyncio.sleep(LOOK_SECONDS)
            there = [sign.exists() for sign in signs]
            now = (*there, heard())
            looks = looks + 1 if any(there) and now == before else 0
            ticks = _ticks(kernel.process.pid) if looks else 0
            idle = idle + 1 if looks and 0 <= ticks <= worked + _AT_REST else 0
            before, worked = now, ticks
        await kernel.kill()
    finally:
        signs[0].unlink(missing_ok=True)


def _ticks(pid: int | None) -> int:
    """Processor time of a process, in ticks; -1 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return -1
