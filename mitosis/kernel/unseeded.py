"""Notes where the experiment draws numbers that no seed decides, with the line of the user that does it."""

from __future__ import annotations

import dis
import functools
import operator
import os
import random
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from mitosis.kernel import chance, notes

# What these draw never reaches a result: names of temporary files, ids of messages.
_HARMLESS = ("tempfile", "IPython", "ipykernel", "jupyter_client", "comm", "zmq", "multiprocessing")


def install() -> None:
    """Note from now on every draw from the system's generator and every generator made without a seed.

    The functions are wrapped, no class is replaced. numpy's generators without a seed ask for entropy
    in one place, which is wrapped right after its import.
    """
    for name in ("urandom", "getrandom"):
        if hasattr(os, name):
            setattr(os, name, _system(getattr(os, name)))
    random._urandom = os.urandom  # type: ignore[attr-defined]  # SystemRandom and secrets draw by this name
    seeded = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and type(self) is not random.SystemRandom:
            _note("a random.Random was made, or seeded, without a seed")
        seeded(self, a, version)

    random.Random.seed = seed  # type: ignore[method-assign]
    random.seed = random._inst.seed  # it was bound to the one before
    chance.after_import("numpy.random", _numpy)
    if sys.flags.hash_randomization and not os.environ.get("PYTHONHASHSEED", "").isdigit():
        what = "the hashes of texts, and with them the order of sets, differ from process to process"
        notes.add("unseeded", what, "PYTHONHASHSEED")


def _system(plain: Callable[..., bytes]) -> Callable[..., bytes]:
    def draw(size: int, *flags: int) -> bytes:
        drawn()
        return plain(size, *flags)

    return draw


def drawn(_: object = None) -> None:
    """Note that the system's generator is asked for numbers."""
    _note("the system's generator (os.urandom, secrets, SystemRandom, uuid4) was asked for numbers")


def _numpy(_module: Any) -> None:
    entropy = sys.modules.get("numpy.random.bit_generator")
    if entropy is None or not hasattr(entropy, "randbits"):
        return
    plain: Callable[[int], int] = entropy.randbits

    def randbits(bits: int) -> int:
        caller = sys._getframe(1)
        settle(threading.get_ident())
        where = notes.users_line(_HARMLESS)
        if where and _without_arguments(caller.f_code, caller.f_lasti):
            notes.add("unseeded", _OF_NUMPY, where)
        elif where:
            _doubtful[threading.get_ident()] = (_call(caller), where)
        with _named_already:
            return plain(bits)

    entropy.randbits = randbits  # type: ignore[attr-defined]
    legacy: Any = sys.modules.get("numpy.random._mt19937")
    if getattr(legacy, "operator", None) is operator:
        legacy.operator = _Operator()


_OF_NUMPY = "a generator of numpy was made without a seed (default_rng(), RandomState(), SeedSequence())"

# By thread, the last draw of which it is not known whether a seed follows: its call, and the user's line.
# `RandomState(5)` first makes a generator without a seed and then seeds it, in one and the same call;
# `RandomState(None)` and `default_rng(None)` leave it so.
_doubtful: dict[int, tuple[tuple[int, CodeType, int], str]] = {}


def _call(frame: FrameType) -> tuple[int, CodeType, int]:
    """What names the call that `frame` is in, without keeping the frame's values alive."""
    return id(frame), frame.f_code, frame.f_lasti


def settle(*threads: int) -> None:
    """Note what was left in doubt in `threads`, or in all of them: no seed has followed."""
    for thread in threads or list(_doubtful):
        if thread in _doubtful:
            notes.add("unseeded", _OF_NUMPY, _doubtful.pop(thread)[1])


class _Operator:
    """The module `operator` for numpy's legacy seeding, which looks at each seed by `operator.index`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(operator, name)

    @staticmethod
    def index(seed: Any) -> int:
        doubtful = _doubtful.get(threading.get_ident())
        if doubtful is not None and doubtful[0] == _call(sys._getframe(1)):
            del _doubtful[threading.get_ident()]
        return operator.index(seed)


@functools.cache
def _without_arguments(code: CodeType, at: int) -> bool:
    """Is the instruction `at` of `code` a call that passes nothing."""
    instruction = next((i for i in dis.get_instructions(code) if i.offset == at), None)
    return instruction is not None and instruction.opname.startswith("CALL") and instruction.argval == 0


class _Once(threading.local):
    """While it is held, this thread's draws have been named already: numpy draws from the system."""

    held = False

    def __enter__(self) -> None:
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False


_named_already = _Once()


def _note(what: str) -> None:
    if not _named_already.held:
        notes.at_users_line("unseeded", what, _HARMLESS)
