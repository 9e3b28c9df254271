"""The fork server: a process of its own that starts the kernels of one launcher, and ends with it.

It is a script, run by the launcher's interpreter; `mitosis.notebook.forking` is its other side. It imports
what every kernel needs, never user code, holds no thread and no socket of ZeroMQ, and forks a child for each
kernel. A kernel of the kind `fresh` is such a child too, which executes a new interpreter.

The protocol. On the control socket: a length (4 bytes, big endian) and that much JSON, an `Order` without its
gate; two file descriptors come with the first byte, the kernel's lifeline and its gate. On the lifeline the
server writes the pid, a line, and at last how the process ended, a line as `subprocess` counts (3, -11); or
`!` and why there will be no kernel. Each byte it reads there is the number of a signal for the kernel's
process group, and the end of the file is the end of the kernel. A forked kernel is set up and then waits for
its gate to say `{cwd, pycache}`, a line; where the gate is closed without a word, the kernel was not wanted.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # the directory of this file, which Python puts first unless it is told not to
    sys.path[:1] = sys.path[:1] if getattr(sys.flags, "safe_path", False) else []

import atexit
import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import logging
import os
import select
import shutil
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

_KERNEL = "ipykernel.kernelapp"

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
_END_SECONDS = 2.0  # for what kernels have started to end; what the system cannot end is left to it
_HIGH = 200  # file descriptors from here on are out of the way of those that a kernel opens itself


@dataclass(frozen=True)
class Order:
    """What a new process is to become."""

    argv: list[str]  # executable, -m, module, arguments
    cwd: str
    pycache: str | None
    fork: bool
    gate: int = -1  # file descriptor


def end_with(parent: int, number: int) -> bool:
    """Have signal `number` sent to this process when `parent`, or the thread of it that made us, ends.

    Returns whether `parent` was still there to be watched.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        return os.getppid() == parent
    return True


def adopt_orphans() -> None:
    """Let processes below this one whose parent ends become this one's children, not those of init.

    Server and kernels do so: when a kernel ends, what it has started comes to the server, in whatever
    session it is, and cannot run on unseen.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Server:
    """The kernels of one launcher, and the sockets to it."""

    def __init__(self, control: socket.socket, directory: str, environ: dict[bytes, bytes]) -> None:
        self.control: socket.socket | None = control
        self.directory = directory  # private to the launcher; it is removed with the server
        self.environ = environ  # as the launcher gave it, before anything was imported
        self.lifelines: dict[int, socket.socket] = {}  # by pid
        self.refusal = ""  # why no kernel can be forked
        self.bell, bell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(bell, False)
        os.set_blocking(self.bell, False)
        self.descriptors = [self.bell, bell]
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        heard = {signal.SIGCHLD: lambda *_: None, signal.SIGTERM: lambda *_: self.end()}
        self.handlers = {number: signal.signal(number, handler) for number, handler in heard.items()}
        signal.set_wakeup_fd(bell)

    def serve(self) -> Order:
        """Carry out orders until the launcher is gone; returns in each child, with what it is to become."""
        while True:
            if self.control is None and not self.lifelines:
                self.end()
            watched: list[Any] = [self.bell, *self.lifelines.values()]
            ready, _, _ = select.select([*watched, *([self.control] if self.control else [])], [], [])
            if self.bell in ready:
                os.read(self.bell, 4096)
                self._bury()
            if self.control in ready:
                order = self._accept()
                if order is not None:
                    return order
            for pid, lifeline in list(self.lifelines.items()):
                if lifeline in ready:
                    self._signal(pid, lifeline)

    def end(self) -> NoReturn:
        """Kill what is left, remove the directory and end; the answer to SIGTERM at any time."""
        for pid in self.lifelines:
            _kill(pid, signal.SIGKILL)
        self.lifelines.clear()
        deadline = time.monotonic() + _END_SECONDS
        with contextlib.suppress(ChildProcessError):  # raised when none is left
            while time.monotonic() < deadline:
                self._end_orphans()
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.002)  # they were killed; to wait without WNOHANG knows no deadline
        shutil.rmtree(self.directory, ignore_errors=True)
        os._exit(0)

    def _end_orphans(self) -> None:
        """Kill what a kernel that has ended leaves behind; where it had children, they come here next."""
        me = os.getpid()
        with contextlib.suppress(OSError):
            known = Path(f"/proc/{me}/task/{me}/children").read_text().split()
            for pid in {int(word) for word in known} - set(self.lifelines):
                _kill(pid, signal.SIGKILL)

    def _bury(self) -> None:
        """Wait for those that have ended, and say how they did once nothing of theirs runs on."""
        ended = []
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                _kill(pid, signal.SIGKILL)  # what it has started ends with it
                lifeline = self.lifelines.pop(pid, None)
                if lifeline is not None:
                    ended.append((lifeline, status))

        self._end_orphans()
        for lifeline, status in ended:
            _say(lifeline, str(os.waitstatus_to_exitcode(status)))
            lifeline.close()

    def _signal(self, pid: int, lifeline: socket.socket) -> None:
        """Pass signals on to a kernel; it is killed when nobody holds the other end any more."""
        try:
            numbers = lifeline.recv(64)
        except OSError:
            numbers = b""
        for number in numbers or (signal.SIGKILL,):
            _kill(pid, number)
        if not numbers:
            self.lifelines.pop(pid).close()

    def _accept(self) -> Order | None:
        """Take one order from the control socket, fork, and return the order in the child."""
        assert self.control is not None
        try:
            head, fds, _, _ = socket.recv_fds(self.control, 4, 2)
            text = b""
            while head and len(text) < int.from_bytes(head, "big"):
                part = self.control.recv(int.from_bytes(head, "big") - len(text))
                text, head = text + part, head if part else b""  # its end in the middle: the launcher is gone
        except OSError:
            head = b""
        if not head:
            self.control.close()
            self.control = None
            return None
        lifeline, gate = socket.socket(fileno=fds[0]), fds[1]
        if self.refusal:
            _say(lifeline, f"!{self.refusal}")
            lifeline.close()
            os.close(gate)
            return None
        return self._start(Order(**json.loads(text)), lifeline, gate)

    def _start(self, order: Order, lifeline: socket.socket, gate: int) -> Order | None:
        every = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
        signal.pthread_sigmask(signal.SIG_BLOCK, every)  # until the child has handlers of its own
        server = os.getpid()
        pid = os.fork()
        if pid:
            self.lifelines[pid] = lifeline
            signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
            os.close(gate)
            _say(lifeline, str(pid))
            return None
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        if not end_with(server, signal.SIGKILL):
            os._exit(1)
        adopt_orphans()
        high = fcntl.fcntl(gate, fcntl.F_DUPFD_CLOEXEC, _HIGH)
        for each in (lifeline, self.control, *self.lifelines.values()):
            if each is not None:
                each.close()
        for fd in (*self.descriptors, gate):
            os.close(fd)
        if not order.fork:
            _execute(order, self.environ)
        return Order(order.argv, order.cwd, order.pycache, True, high)


def _say(lifeline: socket.socket, line: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        lifeline.sendall(f"{line}\n".encode())


def _kill(pid: int, number: int) -> None:
    """Send a signal to the process group that a kernel leads, or will lead in a moment."""
    try:
        os.killpg(pid, number)
    except OSError:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _execute(order: Order, environ: dict[bytes, bytes]) -> None:
    """Become a new interpreter; does not return."""
    with contextlib.suppress(AttributeError):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores these two for itself
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.chdir(order.cwd)
        if order.pycache is not None:
            environ = {**environ, b"PYTHONPYCACHEPREFIX": os.fsencode(order.pycache)}
        os.execve(order.argv[0], order.argv, environ)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"mitosis: the kernel cannot be started: {error}\n")
        sys.stderr.flush()
    os._exit(127)


def become(order: Order) -> None:
    """Be a kernel: set up, wait at the gate, run until the kernel is shut down."""
    _renew()
    found = importlib.util.find_spec(order.argv[2])
    sys.argv = [str(found.origin) if found else order.argv[2], *order.argv[3:]]
    sys.orig_argv = order.argv
    os.chdir(order.cwd)
    application: Any = importlib.import_module(_KERNEL).IPKernelApp.instance()
    application.initialize(sys.argv[1:])
    _pass(order.gate, application)
    try:
        application.start()
    finally:
        _spare()


_imported: dict[str, Any] = {}  # what the server had imported when it forked


def _spare() -> None:
    """Leave what the server had imported out of the end of the kernel.

    Python takes every module apart at its end, which for those hundreds costs more than to start a kernel.
    First comes what Python does first, as in its own `multiprocessing`: threads end, and who wants to hear
    of the end does. The user's modules are still taken apart, so that what they left open is closed.
    """
    import ctypes

    ending: Any = threading
    ending._shutdown()
    atexit._run_exitfuncs()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_imported))  # for ever
    for name in _imported.keys() - {"sys", "builtins", "__main__"}:
        if sys.modules.get(name) is _imported[name]:
            del sys.modules[name]


def _pass(gate: int, application: Any) -> None:
    """Wait until the kernel is wanted, and go where it is wanted."""
    said = b""
    while not said.endswith(b"\n"):
        part = os.read(gate, 65536)
        if not part:
            os._exit(0)
        said += part
    os.close(gate)
    wanted = json.loads(said)
    os.chdir(wanted["cwd"])
    shell = application.shell
    shell.starting_dir = os.getcwd()  # noqa: PTH109 - IPython keeps a text
    visited = shell.user_ns["_dh"]
    visited[:] = [type(path)(shell.starting_dir) for path in visited]
    if wanted["pycache"] is not None:
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = wanted["pycache"]
    importlib.invalidate_caches()  # directories may have changed since the server looked


def _renew() -> None:
    """Make new what Python does not renew after a fork: random states, and what tells of the server."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
    # both are private to the standard library: times of log records count from the start of the process
    began = getattr(logging, "_startTime", None)
    if began is not None:
        setattr(logging, "_startTime", time.time_ns() if isinstance(began, int) else time.time())  # noqa: B010
    main = threading.main_thread()
    if main.native_id != threading.get_native_id() and hasattr(main, "_set_native_id"):
        main._set_native_id()


def main(arguments: Sequence[str]) -> Order:
    """Serve; returns in each child, with what it is to become.

    The arguments are the control socket, the launcher (0: none to die with), a directory, the kind of the
    kernels (fork or fresh) and modules to preload.
    """
    control, launcher, directory, kind, *preload = arguments
    environ = dict(os.environb)
    server = Server(socket.socket(fileno=int(control)), directory, environ)
    if int(launcher) and not end_with(int(launcher), signal.SIGTERM):
        server.end()
    adopt_orphans()
    if kind == "fork":
        gc.disable()  # what is imported stays
        server.refusal = importlib.import_module("mitosis.kernel.preload").load(preload)
        _imported.update(sys.modules)
        gc.enable()
        gc.collect()
        gc.freeze()
    return server.serve()


if __name__ == "__main__":
    become(main(sys.argv[1:]))
