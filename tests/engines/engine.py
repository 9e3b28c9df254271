"""What the engines share: how a missing one is told, free ports, and environments of processes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp


class Missing(Exception):
    """The engine is not installed, or cannot be started by this user; the message says what would help."""


def free_ports(number: int) -> list[int]:
    """Ports of the loopback that nobody listens on just now, all different."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def directory(name: str) -> Iterator[Path]:
    """A new directory that every user may enter, with a path short enough for sockets; removed at the end."""
    path = Path(mkdtemp(prefix=f"m{name}", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, **how: object
) -> None:
    """Run a command to its end; its output goes to a file, which a daemon may keep open."""
    with log.open("ab") as out:
        done = subprocess.run(  # type: ignore[call-overload]
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env=None if env is None else dict(env), check=False, **how,
        )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(
            f"{command[0]} ended with {done.returncode}: {log.read_text(errors='replace')[-2000:]}"
        )


def until(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait until `holds()`; raises TimeoutError, naming `what`."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come about in {seconds:.0f} s")
        time.sleep(0.05)


def stop(pid_file: Path) -> None:
    """End the daemon that wrote `pid_file`, and wait for its end."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, 15)
    except (OSError, ValueError):
        return
    until(lambda: not runs(pid), f"the end of process {pid}", 20)


def runs(pid: int) -> bool:
    """Whether the process is there; one that has ended and was not waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
