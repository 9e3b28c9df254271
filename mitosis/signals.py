"""What SIGINT, SIGTERM and SIGHUP mean to a launcher, wherever it is when they come."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A scheduler that pre-empts sends SIGTERM, a terminal that is closed SIGHUP: both are as one Ctrl-C."""

_DELICATE = (f"{os.sep}omegaconf{os.sep}", "config_loader_impl.py", "defaults_list.py", "override_parser")
_PATIENCE = 3  # the first ends the experiment, the second its kernel, the third the writing of the record

_SAME_SECONDS = 1.0

_worker = False  # of a driver that passes on what it hears
_last = 0.0
_gently: Callable[[int], bool] | None = None
_count = 0
_whole = False  # is the invocation over at a signal, not only a trial


def heard() -> int:
    """How many of the signals have come in this invocation; in a worker, in this trial."""
    return _count


def note() -> bool:
    """One more has come, to a handler that is not of this module; False where it is the same once more.

    A scheduler sends it to every process of a job, and the driver passes it on to its workers.
    """
    global _count, _last
    before, _last = _last, time.monotonic()
    if _worker and _count and _last - before < _SAME_SECONDS:
        return False
    _count += 1
    return True


def as_worker() -> None:
    """This process is a worker that its driver tells of signals: between two trials none of them ends it.

    Of a Ctrl-C, which a terminal sends to all of its processes, it hears from the driver alone.
    """
    global _worker
    if not _worker and threading.current_thread() is threading.main_thread():
        _worker = True
        for number in HEARD:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _pass)  # a function: what is started here does not inherit it


def _pass(_number: int, _frame: FrameType | None) -> None:
    """Nothing runs that it could end."""


@contextlib.contextmanager
def gently(end: Callable[[int], bool]) -> Iterator[None]:
    """Call `end` with how many were heard before a signal ends the invocation; False: it does not, yet."""
    global _gently
    _gently = end
    try:
        yield
    finally:
        _gently = None


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """Each of the signals raises KeyboardInterrupt, as Ctrl-C does; for a whole invocation."""
    global _count, _whole
    _count, _whole = 0, True
    try:
        with handled(_interrupt):
            yield
    finally:
        _whole = False


@contextlib.contextmanager
def held() -> Iterator[None]:
    """The signals are counted and raise nothing: what is begun, a trial and its record, is brought to an end.

    The third one raises KeyboardInterrupt all the same. What is executed meanwhile may handle them itself.
    """
    global _count
    if not _whole:
        _count = 0
    with handled(_hold):
        yield


def _interrupt(_number: int, frame: FrameType | None) -> None:
    note()
    if _gently is not None and _count < _PATIENCE and not _gently(_count):
        return
    if _count > 1 or not _delicate(frame):
        raise KeyboardInterrupt


def _delicate(frame: FrameType | None) -> bool:
    """Whether code runs that an exception from nowhere leaves half done; `stop_if_heard` comes soon after."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib") or any(part in name for part in _DELICATE):
            return True
        frame = frame.f_back
    return False


def stop_if_heard() -> None:
    """Raise KeyboardInterrupt where a signal has come that could not do so at once."""
    if _whole and _count:
        raise KeyboardInterrupt


def _hold(_number: int, _frame: FrameType | None) -> None:
    note()
    if _count >= _PATIENCE:
        raise KeyboardInterrupt


@contextlib.contextmanager
def handled(handler: Any) -> Iterator[None]:
    """Have `handler` called for them. Only the main thread hears any; what is ignored (nohup) stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in HEARD}
    heard = HEARD[1:] if _worker else HEARD
    ours = [number for number in heard if before[number] not in (signal.SIG_IGN, None)]
    for number in ours:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
