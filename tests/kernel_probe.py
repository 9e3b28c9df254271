# ruff: noqa: F821, PTH109, PTH115, PTH119, PTH208 - `OUT` and IPython are there where it runs
"""All that a process can know of how it was started, as JSON in the file `OUT`; run inside a kernel."""

import asyncio
import atexit
import builtins
import gc
import json
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
import uuid
import warnings
from pathlib import Path

_status = Path("/proc/self/status").read_text().splitlines()
_fields = (
    "Umask",
    "Sig",
    "Shd",
    "Cap",
    "NoNew",
    "Seccomp",
    "Cpus",
    "Mems",
    "Threads",
    "Groups",
    "Uid",
    "Gid",
)
_signals = [s for s in signal.Signals if s not in (signal.SIGKILL, signal.SIGSTOP)]
_descriptors = [
    os.readlink(f"/proc/self/fd/{n}")
    for n in os.listdir("/proc/self/fd")
    if int(n) > 2 and os.path.lexists(f"/proc/self/fd/{n}")
]
_threads = [t.name for t in threading.enumerate() if "_watch_pipe_fd" not in t.name]  # ipykernel's, numbered


def _nothing() -> None:
    """Do nothing, in a thread whose name is a number."""


STATE = {
    "environment": dict(os.environ),
    "cwd": [os.getcwd(), [str(p) for p in get_ipython().user_ns["_dh"]], get_ipython().starting_dir],
    "argv": [sys.argv, sys.orig_argv],
    "path": sys.path,
    "interpreter": [sys.executable, sys.prefix, sys.base_prefix, sys.version],
    "flags": [*sys.flags, sys.warnoptions, sys._xoptions, sys.dont_write_bytecode, sys.pycache_prefix],
    "modules": sorted(name for name in sys.modules if not name.startswith("mitosis")),
    "finders": [[getattr(f, "__name__", type(f).__name__) for f in sys.meta_path], len(sys.path_hooks)],
    "signals": {s.name: repr(signal.getsignal(s)).partition(" at ")[0] for s in _signals},
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "status": [line for line in _status if line.startswith(_fields)],
    "limits": {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")},
    "scheduling": [os.nice(0), os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))],
    "locale": [locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(), sys.getfilesystemencoding()],
    "hashes": [hash("mitosis"), hash(b"mitosis"), hash((1.5, "a"))],
    "streams": [
        [s.encoding, s.errors, s.line_buffering, s.isatty()]
        for s in (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    ],
    "hooks": [
        repr(h).partition(" at ")[0]
        for h in (
            sys.excepthook,
            sys.displayhook,
            sys.unraisablehook,
            sys.breakpointhook,
            threading.excepthook,
        )
    ],
    "threads": sorted(_threads),
    "thread names": threading.Thread(target=_nothing).name,
    "main thread": threading.main_thread().native_id == os.getpid(),
    "stdin": os.readlink("/proc/self/fd/0"),
    "descriptors": sorted({d.partition(":")[0] for d in _descriptors}),  # how many differs from time to time
    "session": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
    "warnings": [[f[0], str(f[1]), f[2].__name__, str(f[3]), f[4]] for f in warnings.filters],
    "switches": [sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(), gc.isenabled()],
    "tracing": [repr(f()) for f in (sys.gettrace, sys.getprofile, threading.gettrace, threading.getprofile)],
    "logging": [logging.root.level, len(logging.root.handlers), sorted(logging.root.manager.loggerDict)],
    "temporary files": [tempfile.tempdir, tempfile.gettempdir(), os.path.basename(tempfile.mktemp())[:3]],
    "loop": type(asyncio.get_running_loop()).__name__,
    "multiprocessing": [multiprocessing.get_start_method(), multiprocessing.current_process().name],
    "names": sorted(name for name in globals() if not name.startswith("_")),
    "main": [getattr(sys.modules["__main__"], "__file__", None), sys.modules["__main__"].__name__],
    "builtins": dir(builtins),
    "at exit": atexit._ncallbacks(),
    "time": [time.tzname, time.timezone],
    "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
    "uuid": [uuid._last_timestamp],
}
CHANCE = {
    "random": random.random(),
    "authkey": bytes(multiprocessing.current_process().authkey).hex(),
    "temporary name": tempfile.mktemp(),
    "uuid": str(uuid.uuid4()),
}
Path(OUT).write_text(json.dumps({"state": STATE, "chance": CHANCE}, default=str))
