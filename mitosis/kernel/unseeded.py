"""Notes where the experiment draws numbers that no seed decides, with the line of the user that does it."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from mitosis.kernel import chance, places

MOST = 20  # notes of one trial; a loop over many lines must not fill the record

# What these draw never reaches a result: names of temporary files, ids of messages.
_HARMLESS = ("tempfile", "IPython", "ipykernel", "jupyter_client", "comm", "zmq", "multiprocessing", "uuid1")

_notes: list[dict[str, str]] = []
_seen: set[tuple[str, str]] = set()
_python: tuple[str, ...] = ()


def install() -> None:
    """Note from now on every draw from the system's generator and every generator made without a seed.

    The functions are wrapped, no class is replaced. numpy's generators without a seed ask for entropy
    in one place, which is wrapped right after its import.
    """
    global _python
    _python = places.python()
    plain = os.urandom

    def urandom(size: int, /) -> bytes:
        _note("the system's generator (os.urandom, secrets, SystemRandom, uuid4) was asked for numbers")
        return plain(size)

    os.urandom = urandom
    random._urandom = urandom  # type: ignore[attr-defined]  # SystemRandom and secrets draw by this name
    seeded = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and type(self) is not random.SystemRandom:
            _note("a random.Random was made, or seeded, without a seed")
        seeded(self, a, version)

    random.Random.seed = seed  # type: ignore[method-assign]
    chance.after_import("numpy.random", _numpy)


def _numpy(_module: Any) -> None:
    entropy = sys.modules.get("numpy.random.bit_generator")
    if entropy is None or not hasattr(entropy, "randbits"):
        return
    plain: Callable[[int], int] = entropy.randbits

    def randbits(bits: int) -> int:
        _note("a generator of numpy was made without a seed (default_rng(), RandomState(), SeedSequence())")
        with _named_already:
            return plain(bits)

    entropy.randbits = randbits  # type: ignore[attr-defined]


class _Once(threading.local):
    """While it is held, this thread's draws have been named already: numpy draws from the system."""

    held = False

    def __enter__(self) -> None:
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False


_named_already = _Once()


def _note(what: str) -> None:
    if _named_already.held:
        return
    where = _users_line(sys._getframe(2))
    if where and (what, where) not in _seen and len(_notes) < MOST:
        _seen.add((what, where))
        _notes.append({"kind": "unseeded", "what": what, "where": where})


def _users_line(frame: FrameType | None) -> str:
    """file:line of the innermost frame of the user's; '' where what draws is harmless, or no user's."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        file = frame.f_code.co_filename
        if name.partition(".")[0] in _HARMLESS or file.startswith("<frozen importlib"):
            return ""  # what a library draws while it is imported (numpy's global generator) is seeded after
        if os.path.isabs(file) and not file.startswith(_python) and not name.startswith("mitosis.kernel"):  # noqa: PTH117
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def notes() -> list[dict[str, str]]:
    """What was noted so far, as {kind, what, where}."""
    return list(_notes)
