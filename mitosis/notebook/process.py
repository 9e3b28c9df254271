"""The process of a kernel, as the launcher holds it: at the other end of a lifeline to the fork server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

from mitosis.errors import ConfigurationRefused, InternalError


class Process:
    """The process of a kernel that was ordered of the fork server.

    It ends with the lifeline: when that is closed, and when the launcher ends, however it does.
    `mitosis.kernel.forkserver` states what is said on it.
    """

    def __init__(self, lifeline: socket.socket, gate: int, server: subprocess.Popen[bytes]) -> None:
        self.pid: int | None = None
        self.returncode: int | None = None  # as subprocess counts
        self._lifeline = lifeline
        self._gate = gate
        self._server = server
        self._heard = b""
        self._refusal = ""
        self.orphaned = False  # the fork server ended first
        lifeline.setblocking(False)

    def poll(self) -> int | None:
        """How the process ended; None while it runs. Raises ConfigurationRefused where there will be none."""
        with contextlib.suppress(BlockingIOError):
            while self.returncode is None and self._lifeline.fileno() >= 0:
                try:
                    part = self._lifeline.recv(4096)
                except ConnectionError:
                    part = b""
                self._heard += part
                self._read()
                if not part and self.returncode is None:
                    self._orphaned()
        if self._refusal:
            raise ConfigurationRefused(self._refusal, "leave it out of mitosis.preload")
        return self.returncode

    def _read(self) -> None:
        while b"\n" in self._heard and self.returncode is None:
            line, _, self._heard = self._heard.partition(b"\n")
            if line.startswith(b"!"):
                self.returncode, self._refusal = 1, line[1:].decode(errors="replace")
            elif self.pid is None:
                self.pid = int(line)
            else:
                self.returncode = int(line)

    def _orphaned(self) -> None:
        """The server is gone; the system killed its kernels with it, but not what they had started."""
        self.returncode = -signal.SIGKILL
        self.orphaned = True
        if self.pid is not None:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    async def born(self) -> int:
        """The pid, once there is one. Raises InternalError where the server ended before."""
        while self.poll() is None and self.pid is None:
            await self._told()
        if self.pid is None:
            raise InternalError(
                f"the fork server of the kernels ended ({ended(self._server.wait())})",
                f"check that this works: {sys.executable} -m ipykernel --version; or: mitosis.kernel=fresh",
            )
        return self.pid

    async def wait(self) -> int:
        """How the process ended, once it has."""
        while self.poll() is None:
            await self._told()
        assert self.returncode is not None
        return self.returncode

    async def _told(self) -> None:
        """Return when there is something to read."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._lifeline, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._lifeline)

    def admit(self, cwd: str, pycache: str | None) -> None:
        """Let the kernel begin, in `cwd`."""
        if self._gate >= 0:
            with contextlib.suppress(OSError):  # it has ended: poll() tells
                os.write(self._gate, json.dumps({"cwd": cwd, "pycache": pycache}).encode() + b"\n")
            self._shut()

    def _shut(self) -> None:
        os.close(self._gate)
        self._gate = -1

    def send_signal(self, number: int) -> None:
        """Send a signal to the process and to all that it has started."""
        if self.poll() is None:
            with contextlib.suppress(OSError):
                self._lifeline.send(bytes([number]))

    def close(self) -> None:
        """Let go of the kernel; it is killed if it still runs."""
        if self._gate >= 0:
            self._shut()
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_RDWR)  # heard even where a child of ours holds a copy
        self._lifeline.close()


def ended(code: int) -> str:
    """How a process ended, in words: `signal SIGSEGV`, `exit code 3`."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
