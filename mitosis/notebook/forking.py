"""The launcher's side of its fork server: starts it, orders kernels of it, and keeps one spare ahead.

There is one server for each launching process. What a process hands on to those that it starts (environment,
umask, limits, priority and the like) is for every kernel as if the launcher had started it just then, because
a server is left for a new one as soon as any of it has changed.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import re
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from mitosis.errors import TrialRefused
from mitosis.notebook.process import Process

SCRIPT = Path(__file__).parents[1] / "kernel" / "forkserver.py"
STOP_SECONDS = 5.0

# what a process hands on, as Linux tells it (proc(5)): fields of `status`, and files beside it
_FIELDS = ("Uid", "Gid", "Groups", "Umask", "SigBlk", "SigIgn", "NoNewPrivs", "Cpus_allowed", "Mems_allowed")
_FILES = ("oom_score_adj", "cgroup")

_T = TypeVar("_T")


def available() -> bool:
    """Can kernels be forked here: on Linux."""
    return sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a kernel is started."""

    fork: bool = sys.platform == "linux"  # else a new interpreter
    preload: tuple[str, ...] = ()  # modules of installed packages that a forked kernel has imported
    pycache: Path | None = None  # where bytecode is read and written; None: in __pycache__
    ahead: bool = False  # another kernel is wanted soon


@dataclass(frozen=True, slots=True)
class Seat:
    """A kernel's private directory, the addresses of its sockets in there, and its process."""

    directory: Path
    connection: dict[str, Any]  # of Jupyter's connection file
    process: Process
    server: Server

    def remove(self) -> None:
        """Let go of the process, which is killed if it still runs, and remove the directory."""
        self.process.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Server:
    """A fork server that was started by this process."""

    def __init__(self, inherited: object, manner: Manner, env: dict[str, str], cwd: str) -> None:
        self.inherited = inherited
        self.manner = manner
        self.directory = _private()
        self._names = itertools.count(1)
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        self._hold = _held(self.directory)
        # the signal at its parent's end is for the end of the thread that started it
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        kind = "fork" if manner.fork else "fresh"
        words = [str(theirs.fileno()), str(parent), str(self.directory), kind, *manner.preload]
        with theirs:
            self.popen = subprocess.Popen(
                [sys.executable, str(SCRIPT), *words],
                stdin=subprocess.DEVNULL,
                stdout=_stderr(),  # the launcher's stdout is its own
                cwd=cwd,
                env=env,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # the terminal's ^C is for the launcher alone
            )

    def serves(self, manner: Manner) -> bool:
        """Can kernels of this manner be ordered of it."""
        warm = self.manner.fork and self.manner.preload == manner.preload
        return self.popen.poll() is None and (warm or not manner.fork)

    def seat(self, cwd: str, manner: Manner) -> Seat:
        """Order a kernel. Raises OSError where the server is gone."""
        directory = self.directory / str(next(self._names))
        directory.mkdir(mode=0o700)
        (directory / "ipython").mkdir()
        connection = {
            "transport": "ipc",
            "ip": str(directory / "k"),
            **{f"{name}_port": n for n, name in enumerate(("shell", "iopub", "stdin", "control", "hb"), 1)},
            "key": secrets.token_hex(16),
            "signature_scheme": "hmac-sha256",
            "kernel_name": "",
        }
        file = directory / "connection.json"
        file.write_text(json.dumps(connection))
        return Seat(directory, connection, self.start(command(file), cwd, manner), self)

    def start(self, argv: list[str], cwd: str, manner: Manner) -> Process:
        """Order a process. Raises OSError where the server is gone."""
        pycache = str(manner.pycache) if manner.pycache is not None else None
        text = json.dumps({"argv": argv, "cwd": cwd, "pycache": pycache, "fork": manner.fork}).encode()
        lifeline, theirs = socket.socketpair()
        inside, gate = os.pipe()
        try:
            with theirs, self._lock:
                head = len(text).to_bytes(4, "big")
                socket.send_fds(self._control, [head, text], [theirs.fileno(), inside])
        except OSError:
            lifeline.close()
            os.close(gate)
            raise
        finally:
            os.close(inside)
        return Process(lifeline, gate, self.popen)

    def leave(self) -> None:
        """Order no more of it: it ends when its kernels have."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        if self._hold >= 0:  # the server has its own
            os.close(self._hold)
            self._hold = -1

    def stop(self) -> None:
        """End it and its kernels now."""
        self.leave()
        self.popen.terminate()
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


@dataclass(slots=True)
class _State:
    """The server of this process, a spare kernel of it, and servers that were left."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    pid: int = field(default_factory=os.getpid)
    server: Server | None = None
    spare: Seat | None = None
    left: list[Server] = field(default_factory=list)


_state = _State()


@contextlib.contextmanager
def _mine() -> Iterator[_State]:
    """The state of this process, locked; a process that was forked from a launcher has none yet."""
    global _state
    if _state.pid != os.getpid():
        _state = _State()
    with _state.lock:
        yield _state


def command(connection_file: Path) -> list[str]:
    """The command line of a kernel: the launcher's own interpreter, without the user's IPython profile."""
    return [
        *(sys.executable, "-m", "ipykernel_launcher", "-f", str(connection_file)),
        "--HistoryManager.enabled=False",
        "--IPKernelApp.exec_PYTHONSTARTUP=False",
        f"--IPKernelApp.ipython_dir={connection_file.parent / 'ipython'}",
        "--IPKernelApp.parent_handle=1",  # no thread polls for the parent's end: the server sees to it
    ]


def environment() -> dict[str, str]:
    """The environment of a kernel: the launcher's, with one hash seed unless the user set one."""
    env = dict(os.environ)
    env.setdefault("PYTHONHASHSEED", "0")
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # debugpy would remark on frozen modules
    env.pop("PYTHONEXECUTABLE", None)  # as Jupyter has it: the kernel is this very interpreter
    return env


def prestart(cwd: Path | None = None) -> None:
    """Start the server and a spare kernel, which is likely to run in `cwd`; returns at once.

    What goes wrong is told by the first trial that wants a kernel.
    """
    if available():
        with contextlib.suppress(OSError, TrialRefused):
            ahead(cwd or Path.cwd(), Manner())


def stop() -> None:
    """End the server of this process, if there is one, its kernels and its spare."""
    with _mine() as state:
        servers = [*state.left, *([state.server] if state.server else [])]
        if state.spare is not None:
            state.spare.remove()
        state.server, state.spare, state.left = None, None, []
    for server in servers:
        server.stop()


def seat(cwd: Path, manner: Manner) -> Seat:
    """A kernel that has been started: the spare where there is one of this manner, else a new one.

    It waits to be admitted. Raises TrialRefused where there is no place for its sockets.
    """
    env = environment()
    manner = _fitting(manner, env)
    with _mine() as state:
        server = _server(state, cwd, manner, env)
        spare, state.spare = state.spare, None
        if spare is not None:
            if manner.fork and spare.server is server and spare.process.poll() is None:
                return spare
            spare.remove()
        return _ordered(state, lambda s: s.seat(str(cwd), manner), cwd, manner, env)


def start(argv: list[str], cwd: Path, manner: Manner, env: dict[str, str]) -> Process:
    """A kernel with this command line and environment; it waits to be admitted."""
    with _mine() as state:
        return _ordered(state, lambda s: s.start(argv, str(cwd), manner), cwd, manner, env)


def _fitting(manner: Manner, env: dict[str, str]) -> Manner:
    """The manner that is possible: all children of one server would hash alike where chance is asked for."""
    return replace(manner, fork=False) if env.get("PYTHONHASHSEED") == "random" else manner


def _ordered(
    state: _State, order: Callable[[Server], _T], cwd: Path, manner: Manner, env: dict[str, str]
) -> _T:
    try:
        return order(_server(state, cwd, manner, env))
    except BrokenPipeError:  # it was killed a moment ago
        _leave(state)
        return order(_server(state, cwd, manner, env))


def ahead(cwd: Path, manner: Manner) -> None:
    """Have a spare kernel forked for the next trial, where it can be; returns at once."""
    env = environment()
    manner = _fitting(manner, env)
    with _mine() as state:
        server = _server(state, cwd, manner, env)
        if state.spare is None and manner.fork:
            with contextlib.suppress(OSError):
                state.spare = server.seat(str(cwd), manner)


def _server(state: _State, cwd: Path, manner: Manner, env: dict[str, str]) -> Server:
    """The server for such kernels; another than before where what is inherited has changed."""
    places = env.get("PYTHONPATH", "").split(os.pathsep) if env.get("PYTHONPATH") else []
    anywhere = all(Path(place).is_absolute() for place in places)  # else Python takes them from where it is
    inherited = (None if anywhere else str(cwd), env, *_inherited())
    if state.server is not None and not (state.server.inherited == inherited and state.server.serves(manner)):
        _leave(state)
    if state.server is None:
        if not state.left:
            atexit.unregister(stop)
            atexit.register(stop)
        state.server = Server(inherited, manner, env, str(cwd))
    return state.server


def _leave(state: _State) -> None:
    assert state.server is not None
    state.server.leave()
    state.left = [s for s in state.left if s.popen.poll() is None]
    state.left.append(state.server)
    state.server = None


def _inherited() -> tuple[object, ...]:
    """What a process that is started now would have of this one, besides its environment."""
    limits = [resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")]
    found: list[object] = [limits, os.getpriority(os.PRIO_PROCESS, 0)]
    with contextlib.suppress(OSError):
        about = os.fstat(2)
        found.append((about.st_dev, about.st_ino))
    if sys.platform == "linux":
        found += [os.sched_getscheduler(0), os.sched_getparam(0).sched_priority]
        status = Path("/proc/thread-self/status").read_text(errors="replace")
        found += [line for line in status.splitlines() if line.partition(":")[0] in _FIELDS]
        for name in _FILES:
            with contextlib.suppress(OSError):
                found.append(Path("/proc/self", name).read_text(errors="replace"))
    return tuple(found)


def _stderr() -> int:
    """Where the kernels' process-level output goes: this process's stderr, if it has one."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


def _held(directory: Path) -> int:
    """A descriptor of the file `lock` in the directory, locked as long as any process has it open."""
    import fcntl

    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _private() -> Path:
    """A new private directory (0700) whose path is short: a unix socket's name holds 107 bytes."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    for parent in (given, tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes it private
        plain = re.fullmatch(r"/[\w/.+~-]*", parent, re.ASCII)  # traitlets reads other signs as its own
        if plain and len(parent) < 60 and os.access(parent, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix="mitosis-", dir=parent))
    raise TrialRefused(
        "no directory with a short path can be written for the kernel's sockets",
        "set TMPDIR to a directory whose path has fewer than 60 characters",
    )
