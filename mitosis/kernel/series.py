"""Keeps what an experiment logs while it runs: `from mitosis import log; log(step, loss=...)`."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from mitosis.kernel import contract, notes

DIRECTORY, FILE = "series", "log.jsonl"  # in the trial's folder, see folder.py; no input and no output

_LARGE = 2**53  # whole numbers below it are floats, too
_path = ""  # of the file; "": outside of a trial
_file = -1
_began = 0.0


def begin(folder: str) -> None:
    """Keep what is logged from now on in the trial's folder; the file is made by the first call."""
    global _path, _began
    _path = os.path.join(folder, DIRECTORY, FILE)  # noqa: PTH118
    _began = time.perf_counter()


def end() -> None:
    """The trial is over: what is logged from now on is printed."""
    global _path, _file
    _path = ""
    if _file >= 0:
        os.close(_file)
        _file = -1


def log(step: float, **values: Any) -> None:
    """Note `values` (numbers by name) at `step`; outside of a trial they are printed.

    In a trial each call adds one line to `series/log.jsonl` in its folder, whole and at once: threads and
    forked children may log, too. None is passed over; what else is no number is left out with a note. Raises
    TypeError where `step` is no number.
    """
    place = step if step.__class__ is int and -_LARGE < step < _LARGE else _place(step)
    if not _path:
        shown = " ".join(f"{name}={contract.shown(contract.unwrapped(v))}" for name, v in values.items())
        print(f"step {place}: {shown}")
        return
    line: dict[str, Any] = {"step": place, "seconds": round(time.perf_counter() - _began, 6)}
    measured: dict[str, float] = {}
    for name, value in values.items():
        small = value.__class__ is int and -_LARGE < value < _LARGE
        number = value if value.__class__ is float or small else contract.number(value)
        if number is not None:
            measured[name] = number
        elif value is not None:
            what = f"a {type(value).__name__} is no number and was not logged"
            notes.add("not_logged", what, f"log({name}=...)")
    if measured:
        line["values"] = measured
        _append(json.dumps(line).encode() + b"\n")


def _place(step: Any) -> float:
    number = contract.number(step)
    if number is None:
        what = "so large a one" if step.__class__ is int else repr(step)  # Python shows none of 5,000 digits
        raise TypeError(f"log(step, ...): step must be a number, not {what}")
    return int(number) if number.is_integer() else number


def _append(line: bytes) -> None:
    try:
        os.write(_file if _file >= 0 else _opened(), line)  # one write: lines of several writers do not mix
    except OSError as error:  # a full disk must not end the experiment
        notes.add("series_incomplete", f"a line could not be written: {error.strerror or error}", FILE)


def _opened() -> int:
    global _file
    os.makedirs(os.path.dirname(_path), exist_ok=True)  # noqa: PTH103, PTH120
    # two threads may come here at once: both files are the same one, and are only appended to
    _file = os.open(_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    return _file
