"""Gives each trial a kernel of its own: the launcher's interpreter, over private unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerBase

from mitosis.errors import InternalError
from mitosis.notebook import forking
from mitosis.notebook.forking import Manner
from mitosis.notebook.process import Process, ended

READY_SECONDS = 120.0  # a loaded cluster node can need this long to import ipykernel
RECONNECT_MILLISECONDS = 5  # ZeroMQ's own 100 would be spent in full by a kernel that is not listening yet
UNHEARD_SECONDS = 0.02  # until an answer that was published too early is asked for again
EXIT = "__import__('asyncio').get_running_loop().call_soon(__import__('sys').exit)"
END_SECONDS = 5.0  # from the request to end to the kill, as Jupyter has it
PROVISIONER = "mitosis-fork-server"  # the name of its entry point


class Provisioner(KernelProvisionerBase):  # type: ignore[misc]
    """Kernels of the fork server, for Jupyter's kernel managers.

    The keyword arguments of `start_kernel` are `cwd`, `env`, and, of ours, `process`: one that was started
    ahead. Its connection file must be there then; else it is written here.
    """

    process: Process | None = None
    seat: forking.Seat | None = None

    @property
    def has_process(self) -> bool:
        """Is there a process to speak of, alive or dead."""
        return self.process is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Write the connection file, unless there is one, and build the command line."""
        if not Path(self.parent.connection_file).exists():
            self.parent.write_connection_file()
        self.connection_info = self.parent.get_connection_info()
        cmd = self.parent.format_kernel_cmd(extra_arguments=kwargs.pop("extra_arguments", []))
        kwargs.setdefault("env", forking.environment())
        return dict(await super().pre_launch(cmd=cmd, **kwargs))

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the process, or take the one that was started ahead, and let it begin."""
        cwd = Path(kwargs.get("cwd") or Path.cwd())
        manner = kwargs.get("manner") or Manner()
        self.process = kwargs.get("process") or forking.start(cmd, cwd, manner, kwargs["env"])
        self.process.admit(str(cwd), str(manner.pycache) if manner.pycache is not None else None)
        await self.process.born()
        return self.connection_info

    async def poll(self) -> int | None:
        """How the process ended; None while it runs."""
        return self.process.poll() if self.process is not None else 0

    async def wait(self) -> int | None:
        """How the process ended, once it has."""
        return await self.process.wait() if self.process is not None else 0

    async def send_signal(self, signum: int) -> None:
        """Signal the process and all that it has started."""
        if self.process is not None:
            self.process.send_signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """End the process and all that it has started at once."""
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Ask the process and all that it has started to end."""
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Let go of the process, which is killed if it still runs."""
        if self.process is not None:
            self.process.close()
            self.process = None


class _Specs(KernelSpecManager):  # type: ignore[misc]
    """The one kernel there is: what is installed under the name `python3` may be another interpreter's."""

    argv: list[str]

    def get_kernel_spec(self, kernel_name: str) -> Any:
        """The specification of our kernel, whatever it is called."""
        provisioner = {"provisioner_name": PROVISIONER}
        metadata = {"kernel_provisioner": provisioner}
        return KernelSpec(argv=self.argv, display_name=kernel_name, language="python", metadata=metadata)


@dataclass(slots=True)
class Kernel:
    """A running kernel with a client that is connected to it."""

    manager: AsyncKernelManager
    client: Any  # AsyncKernelClient
    process: Process
    oom_kills: int = 0  # of the whole system, when the kernel was started

    async def alive(self) -> bool:
        """Is the kernel's process still there."""
        return self.process.poll() is None

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the code that runs."""
        self.process.send_signal(signal.SIGINT)

    async def kill(self) -> None:
        """End the kernel and its children at once."""
        self.process.send_signal(signal.SIGKILL)

    async def cause_of_death(self) -> str:
        """How the process ended: `signal SIGSEGV`, `exit code 3`; '' where it has not."""
        code = self.process.poll()
        if self.process.orphaned:
            return "signal SIGKILL: the fork server of the kernels was killed, and the kernel with it"
        if code == -signal.SIGKILL and _oom_kills() > self.oom_kills:
            return f"{ended(code)}; the system ran out of memory meanwhile and killed what needs most of it"
        return "" if code is None else ended(code)


def _oom_kills() -> int:
    """How many processes the system has killed for want of memory since it was started; 0 where unknown."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


@contextlib.asynccontextmanager
async def started(cwd: Path, manner: Manner | None = None, begin: str = "") -> AsyncIterator[Kernel]:
    """A fresh kernel in `cwd` that has executed `begin`; it and its children end with the context.

    It is asked to end, so that what the experiment left open is closed, and then killed; after an exception
    it is killed at once. Raises InternalError where it does not answer or `begin` fails, ConfigurationRefused
    where a module cannot be preloaded.
    """
    manner = manner or Manner()
    seat = forking.seat(cwd, manner)
    try:
        await seat.process.born()
        kernel = Kernel(_manager(seat), None, seat.process, _oom_kills())
        # beside the wait for the kernel, because Jupyter's own start sleeps for 10 ms
        starting = asyncio.ensure_future(
            kernel.manager.start_kernel(cwd=str(cwd), process=seat.process, manner=manner)
        )
        try:
            kernel.client = kernel.manager.client()
            kernel.client.start_channels(hb=False)
            kernel.client.allow_stdin = False
            await _ready(kernel, begin)
            if manner.ahead:
                forking.ahead(cwd, manner)
            yield kernel
            await _finish(kernel)
        finally:
            starting.cancel()
            await asyncio.wait([starting])
            kernel.client.stop_channels()
            await kernel.kill()
            await _dead(kernel)
            await kernel.manager.cleanup_resources()
    finally:
        seat.remove()


def _manager(seat: forking.Seat) -> AsyncKernelManager:
    """Jupyter's manager of the kernel on this seat."""
    file = seat.directory / "connection.json"
    specs = _Specs()
    specs.argv = forking.command(file)
    manager = AsyncKernelManager(connection_file=str(file), kernel_spec_manager=specs)
    manager.load_connection_info(seat.connection)
    manager.context.reconnect_ivl = RECONNECT_MILLISECONDS
    return manager


async def _ready(kernel: Kernel, begin: str) -> None:
    """Wait until a request is answered on both channels; an unheard answer means: not yet subscribed.

    The first request is to execute `begin`: one that is answered is what there is to wait for anyway.
    """
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    request = begun = kernel.client.execute(begin, silent=True, store_history=False)
    while asyncio.get_running_loop().time() < deadline:
        with contextlib.suppress(Empty):
            while True:
                reply = await kernel.client.get_shell_msg(timeout=1)
                answered = reply["parent_header"].get("msg_id")
                if answered == begun and reply["content"]["status"] != "ok":
                    what = reply["content"].get("evalue", reply["content"])
                    raise InternalError(f"the guard failed in the kernel: {what}")
                if answered == request:
                    break
            while True:
                heard = await kernel.client.get_iopub_msg(timeout=UNHEARD_SECONDS)
                if heard["parent_header"].get("msg_id") == request and _idle(heard):
                    return
        if not await kernel.alive():
            cause = await kernel.cause_of_death()
            raise InternalError(
                f"the kernel ended before it was ready ({cause})",
                f"check that this works: {sys.executable} -m ipykernel --version",
            )
        request = kernel.client.kernel_info()
    raise InternalError(
        f"the kernel did not answer within {READY_SECONDS:.0f} s",
        f"check that this works: {sys.executable} -m ipykernel --version",
    )


def _idle(message: dict[str, object]) -> bool:
    content = message["content"]
    return isinstance(content, dict) and content.get("execution_state") == "idle"


async def _finish(kernel: Kernel) -> None:
    """Let the kernel end as a script ends: files that were left open are written, `atexit` is heard.

    A shutdown request would do it too, but ipykernel first imports psutil and looks for children: 15 ms.
    """
    if await kernel.alive():
        kernel.client.execute(EXIT, silent=True, store_history=False)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(kernel.process.wait(), END_SECONDS)


async def _dead(kernel: Kernel) -> None:
    """Wait for the end of a kernel that was killed; one that the system cannot end is left to it."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(kernel.process.wait(), END_SECONDS)
