"""The fork server: a process of its own that starts the kernels of one launcher, and ends with it.

It is a script, run by the launcher's interpreter; `mitosis.notebook.forking` is its other side. It imports
what every kernel needs, never user code, holds no thread and no socket of ZeroMQ, and forks a child for each
kernel. A kernel of the kind `fresh` is the same child that executes a new interpreter instead.

Protocol. On the control socket: a length (4 bytes, big endian), a JSON document `{argv, cwd, fork}`, and with
its first byte two file descriptors, the kernel's lifeline and its gate. On the lifeline the server writes the
pid, a line, and at the end how the process ended, a line as `subprocess` counts (3, -11), or `!` and why there
will be no kernel; each byte it reads there is the number of a signal for the kernel's process group, and the
end of the file is the kernel's end. A forked kernel is set up, then waits until its gate says
`{cwd, pycache}`; where the gate is closed without a word the kernel was not wanted.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # this file's own directory, unless Python was told to leave it out
    sys.path[:1] = [] if not getattr(sys.flags, "safe_path", False) else sys.path[:1]

import contextlib
import fcntl
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NEEDED = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "faulthandler",
    "ipykernel.datapub",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "matplotlib_inline.backend_inline",
    "tornado.platform.asyncio",
)
"""The modules that a kernel would import while it starts, where they are installed."""

_SET_PDEATHSIG = 1  # prctl(2)
_HIGH = 200  # file descriptors from here on are out of the way of the kernel's own


@dataclass(frozen=True)
class Order:
    """What a new process is to become; `gate` is a file descriptor."""

    argv: list[str]  # of an interpreter: executable, -m, module, arguments
    cwd: str
    fork: bool
    gate: int


def end_with(parent: int, number: int) -> None:
    """Let the kernel of the system send this process signal `number` when the thread that started it ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it ended before it could be watched
            os._exit(1)
