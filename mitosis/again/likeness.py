"""Compares what two trials of one recipe left behind: metrics, results, figures, outputs."""

from __future__ import annotations

import contextlib
import math
import pickle
import re
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from mitosis import differences
from mitosis.folder import TrialFolder
from mitosis.trial import JSON, Status, Trial

_DEEPEST = 100
_MOST = 20  # differences of one result that are told


class Likeness(Enum):
    """How far two things are the same; what comes later is less alike."""

    IDENTICAL = "identical"
    CLOSE = "equal within tolerance"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not identical."""

    what: str  # "main", "metrics.loss", "result['x'][3]", "figures/a.png", "output out.csv", "status"
    how: str  # in words
    likeness: Likeness
    size: float | None = None  # the largest absolute difference, where it is of numbers


@dataclass(frozen=True, slots=True)
class Tolerance:
    """When two numbers are equal: |a - b| <= atol + rtol * |b|, as numpy.isclose has it."""

    rtol: float = 1e-9
    atol: float = 0.0

    def close(self, a: float, b: float) -> bool:
        """Are the two numbers equal; nan is equal to nan, and an infinity to itself alone."""
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        if math.isinf(a) or math.isinf(b):
            return a == b
        return abs(a - b) <= self.atol + self.rtol * abs(b)


def compared(old: Trial, new: Trial, tolerance: Tolerance, path: Sequence[str] = ()) -> list[Difference]:
    """Everything in which `new` is not identical with `old`; empty: to the bit as far as it was kept.

    `path` is put in front of sys.path while the results are read, for the classes that they are made of.
    """
    if old.status is not new.status:
        how = f"{old.status.value} then, {new.status.value} now"
        return [Difference("status", how, Likeness.DIFFERENT)]
    found = [*_errors(old, new), *_metrics(old, new, tolerance)]
    if old.status is Status.SUCCEEDED:
        found += _results(old, new, tolerance, path)
    close = bool(found) and all(d.likeness is Likeness.CLOSE for d in found)
    # pictures and files of numbers that differ in their last digits cannot be the same bytes
    rest = Likeness.CLOSE if close else Likeness.DIFFERENT
    return [*found, *_figures(old, new, rest), *_outputs(old, new, rest)]


def result_unknown(old: Trial, new: Trial) -> bool:
    """Did two trials succeed of which neither has a result that could be compared."""
    both = (old, new)
    succeeded = all(t.status is Status.SUCCEEDED for t in both)
    return succeeded and not any(TrialFolder(t.spec.folder).result.exists() for t in both)


def worst(found: Sequence[Difference]) -> Likeness:
    """The least alike of them."""
    order = list(Likeness)
    return max((d.likeness for d in found), key=order.index, default=Likeness.IDENTICAL)


def _errors(old: Trial, new: Trial) -> Iterator[Difference]:
    a, b = (t.outcome.error if t.outcome else None for t in (old, new))
    if a and b and (a.kind, a.message) != (b.kind, b.message):
        yield Difference(
            "error", f"{a.kind}: {a.message} then, {b.kind}: {b.message} now", Likeness.DIFFERENT
        )


def _metrics(old: Trial, new: Trial, tolerance: Tolerance) -> Iterator[Difference]:
    names = {name for t in (old, new) if t.outcome for name in t.outcome.metrics} - {"main"}
    for name in ("main", *sorted(names)):
        a, b = differences.value(old, name), differences.value(new, name)
        if not differences.same_number(a, b):
            yield _number("main" if name == "main" else f"metrics.{name}", a, b, tolerance)


def _number(what: str, a: JSON, b: JSON, tolerance: Tolerance) -> Difference:
    if not (differences.is_number(a) and differences.is_number(b)):
        return Difference(what, f"{_short(a)} then, {_short(b)} now", Likeness.DIFFERENT)
    likeness = Likeness.CLOSE if tolerance.close(b, a) else Likeness.DIFFERENT
    return Difference(what, f"{a!r} then, {b!r} now ({b - a:+.3g})", likeness, abs(b - a))


def _results(old: Trial, new: Trial, tolerance: Tolerance, path: Sequence[str]) -> list[Difference]:
    folders = [TrialFolder(t.spec.folder) for t in (old, new)]
    kept = [f.result.read_bytes() if f.result.exists() else None for f in folders]
    if None in kept or kept[0] == kept[1]:
        if kept[0] is kept[1] is None or kept[0] == kept[1]:
            return []
        side = "then" if kept[0] is None else "now"
        return [Difference("result", f"it was not kept {side}", Likeness.DIFFERENT)]
    before, writes = sys.path[:], sys.dont_write_bytecode
    try:
        sys.path[:0] = path
        sys.dont_write_bytecode = True  # nothing is written into a checkout
        values = [pickle.loads(content) for content in kept if content is not None]  # noqa: S301 - the user's own
    except Exception as error:  # whatever the user's classes raise while they are made
        how = f"other bytes, which cannot be read here ({type(error).__name__}: {error})"
        return [Difference("result", how, Likeness.DIFFERENT)]
    finally:
        sys.path[:], sys.dont_write_bytecode = before, writes
    walker = _Walker(tolerance)
    walker.walk("result", values[0], values[1], 0)
    return walker.found[:_MOST]


class _Walker:
    """Walks two results at once and notes where they differ."""

    def __init__(self, tolerance: Tolerance) -> None:
        self.tolerance = tolerance
        self.found: list[Difference] = []

    def walk(self, at: str, a: Any, b: Any, depth: int) -> None:
        """Compare `a` and `b`, which stand at `at`."""
        if len(self.found) >= _MOST:
            return
        if type(a) is not type(b):
            self._differ(at, f"{type(a).__name__} then, {type(b).__name__} now")
        elif hasattr(a, "dtype") and hasattr(a, "shape"):
            self._arrays(at, a, b)
        elif isinstance(a, Mapping):
            self._mappings(at, a, b, depth)
        elif isinstance(a, list | tuple) and depth < _DEEPEST:
            if len(a) != len(b):
                self._differ(at, f"{len(a)} items then, {len(b)} now")
            for i, (x, y) in enumerate(zip(a, b, strict=False)):
                self.walk(f"{at}[{i}]", x, y, depth + 1)
        elif isinstance(a, bool | str | bytes | None):
            if a != b:
                self._differ(at, f"{_short(a)} then, {_short(b)} now")
        elif isinstance(a, int | float):
            if not differences.same_number(a, b):
                self.found.append(_number(at, a, b, self.tolerance))
        elif isinstance(a, complex):
            self._complex(at, a, b)
        else:
            self._objects(at, a, b, depth)

    def _differ(self, at: str, how: str) -> None:
        self.found.append(Difference(at, how, Likeness.DIFFERENT))

    def _mappings(self, at: str, a: Mapping[Any, Any], b: Mapping[Any, Any], depth: int) -> None:
        for key in [*a, *(k for k in b if k not in a)]:
            if key not in a or key not in b:
                self._differ(f"{at}[{key!r}]", "only now" if key not in a else "only then")
            elif depth < _DEEPEST:
                self.walk(f"{at}[{key!r}]", a[key], b[key], depth + 1)

    def _complex(self, at: str, a: complex, b: complex) -> None:
        if a != b:
            close = self.tolerance.close(abs(a - b) + abs(a), abs(a))
            likeness = Likeness.CLOSE if close else Likeness.DIFFERENT
            self.found.append(Difference(at, f"{a!r} then, {b!r} now", likeness, abs(a - b)))

    def _arrays(self, at: str, a: Any, b: Any) -> None:
        import numpy

        if hasattr(a, "to_numpy") or not isinstance(a, numpy.ndarray | numpy.generic):
            a, b = numpy.asarray(a), numpy.asarray(b)
        if a.dtype != b.dtype or a.shape != b.shape:
            self._differ(at, f"{a.dtype} {a.shape} then, {b.dtype} {b.shape} now")
        elif a.dtype.hasobject:
            self.walk(at, a.tolist(), b.tolist(), 0)
        elif a.tobytes() != b.tobytes():
            self._content(at, a, b)

    def _content(self, at: str, a: Any, b: Any) -> None:
        """Two arrays of one type and shape whose bytes differ."""
        import numpy

        if a.dtype.names or a.dtype.kind not in "biufc":
            if not numpy.array_equal(a, b):
                self._differ(at, "other values")
            return
        different = ~((a == b) | ((a != a) & (b != b)))
        count = int(numpy.count_nonzero(different))
        if not count:
            return  # another nan, or another sign of zero
        with numpy.errstate(all="ignore"):
            size = float(numpy.nanmax(numpy.abs(numpy.subtract(b, a, dtype=numpy.result_type(a, float)))))
        close = numpy.isclose(b, a, self.tolerance.rtol, self.tolerance.atol, equal_nan=True).all()
        likeness = Likeness.CLOSE if close else Likeness.DIFFERENT
        how = f"{count} of {a.size} values differ, by at most {size:.3g}"
        self.found.append(Difference(at, how, likeness, size))

    def _objects(self, at: str, a: Any, b: Any, depth: int) -> None:
        """Objects of the user's: by their equality where it says yes, else by what they hold."""
        with contextlib.suppress(Exception):  # a user's __eq__ may raise, or answer with an array
            if bool(a == b):
                return
        held = [getattr(x, "__dict__", None) for x in (a, b)]
        if held[0] is not None and held[1] is not None and depth < _DEEPEST:
            self._mappings(at, held[0], held[1], depth + 1)
        elif pickle.dumps(a) != pickle.dumps(b):
            self._differ(at, f"another {type(a).__name__}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _figures(old: Trial, new: Trial, likeness: Likeness) -> Iterator[Difference]:
    folders = [TrialFolder(t.spec.folder).figures for t in (old, new)]
    names = [set(t.outcome.figures) if t.outcome else set() for t in (old, new)]
    for name in sorted(names[0] | names[1]):
        files = [folder / name for folder in folders]
        if not all(f.is_file() for f in files):
            side = "now" if files[1].is_file() else "then"
            yield Difference(f"figures/{name}", f"only {side}", Likeness.DIFFERENT)
        elif drawn(files[0]) != drawn(files[1]):
            yield Difference(f"figures/{name}", "another picture", likeness)


def drawn(figure: Path) -> bytes:
    """What a figure file shows, without what says when and by whom it was made."""
    content = figure.read_bytes()
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"".join(_chunks(content))
    if figure.suffix == ".svg":
        content = re.sub(rb"<metadata>.*?</metadata>|<!--.*?-->", b"", content, flags=re.DOTALL)
        return re.sub(rb'(id="|url\(#|href="#)[\w-]+', rb"\1", content)  # matplotlib draws its ids
    return re.sub(rb"/(CreationDate|ModDate|Keywords|ID) ?[(\[<].*?[)\]>]", b"", content, flags=re.DOTALL)


def _chunks(content: bytes) -> Iterator[bytes]:
    """The chunks of a PNG that make the picture (PNG specification, section 5.3)."""
    at = 8
    while at + 12 <= len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"):
            yield content[at : at + 12 + size]
        at += 12 + size


def _outputs(old: Trial, new: Trial, likeness: Likeness) -> Iterator[Difference]:
    a, b = (
        {o.path: o.digest for o in (t.outcome.outputs if t.outcome else ()) if not o.path.startswith("/")}
        for t in (old, new)
    )
    for path in sorted(a.keys() | b.keys()):
        if path not in a or path not in b:
            side = "now" if path in b else "then"
            yield Difference(f"output {path}", f"only {side}", Likeness.DIFFERENT)
        elif a[path] != b[path]:
            yield Difference(f"output {path}", "other bytes", likeness)
