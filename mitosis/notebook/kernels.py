"""Starts the kernel of a trial: the launcher's own interpreter, over private unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING

from mitosis.errors import InternalError, TrialRefused

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.manager import AsyncKernelManager

READY_SECONDS = 120.0  # a loaded cluster node can need this long to import ipykernel


@dataclass(slots=True)
class Kernel:
    """A running kernel with a client that is connected to it."""

    manager: AsyncKernelManager
    client: AsyncKernelClient

    async def alive(self) -> bool:
        """Is the kernel's process still there."""
        return bool(await self.manager.is_alive())

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the code that runs."""
        with contextlib.suppress(RuntimeError, ProcessLookupError):  # it ended in between
            await self.manager.interrupt_kernel()

    async def kill(self) -> None:
        """End the kernel and its children at once."""
        with contextlib.suppress(RuntimeError, ProcessLookupError):  # it ended in between
            await self.manager.signal_kernel(signal.SIGKILL)

    async def cause_of_death(self) -> str:
        """How the process ended: `signal SIGSEGV`, `exit code 3`; '' where it cannot be told."""
        provisioner = self.manager.provisioner
        code = await provisioner.poll() if provisioner is not None and provisioner.has_process else None
        if code is None:
            return ""
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"signal {signal.Signals(-code).name}"
            return f"signal {-code}"
        return f"exit code {code}"


def environment() -> dict[str, str]:
    """The environment of a kernel: the launcher's, with one hash seed unless the user set one."""
    env = dict(os.environ)
    env.setdefault("PYTHONHASHSEED", "0")
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # debugpy's remark about frozen modules is not the user's output
    return env


def _sockets() -> Path:
    """A new private directory (0700) whose path is short: a unix socket's name holds 107 bytes."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    for parent in (base, tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes it private
        if parent and len(parent) < 60 and os.access(parent, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix="mitosis-", dir=parent))
    raise TrialRefused(
        "no directory with a short path can be written for the kernel's sockets",
        "set TMPDIR to a directory whose path has fewer than 60 characters",
    )


@contextlib.asynccontextmanager
async def started(cwd: Path) -> AsyncIterator[Kernel]:
    """A fresh kernel in `cwd`, ended with all its children when the context is left.

    Raises InternalError where it does not answer.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    sockets = _sockets()
    manager = AsyncKernelManager(
        connection_file=str(sockets / "connection.json"), transport="ipc", ip=str(sockets / "k")
    )
    manager.session.key = secrets.token_hex(16).encode()
    # the kernel specification that is found under the name python3 may be another interpreter's
    manager._kernel_spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="mitosis",
        language="python",
    )
    client = None
    try:
        await manager.start_kernel(
            extra_arguments=["--HistoryManager.enabled=False"], cwd=str(cwd), env=environment()
        )
        client = manager.client()
        client.start_channels(hb=False)
        client.allow_stdin = False
        kernel = Kernel(manager, client)
        await _ready(kernel)
        yield kernel
    finally:
        if client is not None:
            client.stop_channels()
        await _end(manager)
        shutil.rmtree(sockets, ignore_errors=True)


async def _ready(kernel: Kernel) -> None:
    """Wait until a request is answered on both channels; an unheard answer means: not yet subscribed."""
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        request = kernel.client.kernel_info()
        with contextlib.suppress(Empty):
            while True:
                reply = await kernel.client.get_shell_msg(timeout=1)
                if reply["parent_header"].get("msg_id") == request:
                    break
            while True:
                heard = await kernel.client.get_iopub_msg(timeout=0.2)
                if heard["parent_header"].get("msg_id") == request and _idle(heard):
                    return
        if not await kernel.alive():
            cause = await kernel.cause_of_death() or "no exit code"
            raise InternalError(
                f"the kernel ended before it was ready ({cause})",
                f"check that this works: {sys.executable} -m ipykernel --version",
            )
    raise InternalError(
        f"the kernel did not answer within {READY_SECONDS:.0f} s",
        f"check that this works: {sys.executable} -m ipykernel --version",
    )


def _idle(message: dict[str, object]) -> bool:
    content = message["content"]
    return isinstance(content, dict) and content.get("execution_state") == "idle"


async def _end(manager: AsyncKernelManager) -> None:
    """End the kernel's whole process group; nothing of the experiment is left behind."""
    if manager.provisioner is not None and manager.has_kernel:
        with contextlib.suppress(RuntimeError, ProcessLookupError):
            await manager.shutdown_kernel(now=True)
    await manager.cleanup_resources()
