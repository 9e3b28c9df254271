"""Ends a kernel that has done its work and does not say so: a broken one would be waited for without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from mitosis.folder import RETURNED, TrialFolder
from mitosis.notebook.kernels import Kernel

LOOKS = 10  # without any word of a kernel whose work is done
LOOK_SECONDS = 1.0  # between two of them; looks are counted, since a busy launcher may itself be late


async def awaited(path: Path, kernel: Kernel, heard: Callable[[], int]) -> None:
    """Kill the kernel, and return, once its work is done and nothing is heard of it any more.

    Its work is done where the call has returned and the next cell has not begun, and where the outcome is
    written. `path` is the trial's folder; `heard` counts the kernel's messages.
    """
    signs = (path / RETURNED, TrialFolder(path).outcome)
    before: tuple[object, ...] = ()
    looks = 0
    try:
        while looks < LOOKS:
            await asyncio.sleep(LOOK_SECONDS)
            there = [sign.exists() for sign in signs]
            now = (*there, heard())
            looks = looks + 1 if any(there) and now == before else 0
            before = now
        await kernel.kill()
    finally:
        signs[0].unlink(missing_ok=True)
