"""What the notebook needs of its process, put back after the call where the experiment left it otherwise."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from mitosis.kernel import notes

_STREAMS = ("stdin", "stdout", "stderr")


@dataclass(frozen=True)
class Surroundings:
    """The process as it was before the call."""

    streams: tuple[Any, ...]
    modules: dict[str, ModuleType]
    path: tuple[str, ...]
    directory: str
    interrupt: Any  # what SIGINT does


def taken() -> Surroundings:
    """The surroundings as they are."""
    return Surroundings(
        tuple(getattr(sys, name) for name in _STREAMS),
        dict(sys.modules),
        tuple(sys.path),
        os.getcwd(),  # noqa: PTH109 - what is compared is the text
        signal.getsignal(signal.SIGINT),
    )


def put_back(before: Surroundings) -> None:
    """Restore what the kernel cannot answer without; each is a note.

    A module that the experiment removed, a directory that it went to and a path that it added stay its own.
    """
    for name, stream in zip(_STREAMS, before.streams, strict=True):
        if getattr(sys, name, None) is not stream:
            setattr(sys, name, stream)
            _note(f"sys.{name}")
    if "sys" not in sys.modules or "builtins" not in sys.modules:  # not one was removed, but all
        for name, module in before.modules.items():
            sys.modules.setdefault(name, module)
        _note("sys.modules")
    if not isinstance(sys.path, list) or not sys.path:
        sys.path = list(before.path)
        _note("sys.path")
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        with contextlib.suppress(OSError):
            os.chdir(before.directory)
            _note("the working directory")
    if before.interrupt is not None and signal.getsignal(signal.SIGINT) is not before.interrupt:
        with contextlib.suppress(ValueError):  # only the main thread may
            signal.signal(signal.SIGINT, before.interrupt)
            _note("the handler of SIGINT")


def _note(what: str) -> None:
    notes.add("put_back", f"the experiment left {what} otherwise than it was: put back after the call", what)
