"""Writes tables of trials for other programs: CSV, Parquet, JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mitosis import identity
from mitosis.errors import SelectionRefused
from mitosis.frame import Frame
from mitosis.trial import strict

_FLOATS = ("seconds", "cpu_seconds", "mean", "std", "ci_low", "ci_high", "min", "max", "step", "value",
           "absolute", "relative", "share", "makes")  # fmt: skip


def write(frame: Frame, parquet: Path | None) -> None:
    """The table as a Parquet file where one is named, else as CSV on stdout."""
    if parquet is None:
        to_csv(frame)
        return
    to_parquet(frame, parquet)
    print(f"{len(frame.rows)} rows in {parquet}", file=sys.stderr)


def to_csv(frame: Frame) -> None:
    """Print the table as CSV: numbers with all their digits, nothing where there is no value."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows([cell(value) for value in row] for row in frame.rows)


def cell(value: Any) -> str:
    """A value as text that loses nothing: tags by spaces, lists and mappings as JSON."""
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) and " " not in item for item in value):
        return " ".join(value)
    if isinstance(value, bool | list | dict | tuple):
        return json.dumps(strict(value), ensure_ascii=False)
    return repr(value) if isinstance(value, float) else str(value)


def records(frame: Frame) -> list[dict[str, Any]]:
    """The rows as objects, for JSON."""
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.rows]


def to_parquet(frame: Frame, path: Path) -> None:
    """Write the table as a Parquet file; columns whose values are of several types are texts.

    Raises SelectionRefused where pyarrow is missing or the file cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        what = f"Parquet files are written by pyarrow, which cannot be imported ({error})"
        raise SelectionRefused(what, "install it: pip install 'mitosis[parquet]'") from error
    columns = [_array(name, [row[at] for row in frame.rows]) for at, name in enumerate(frame.columns)]
    table = pyarrow.table(dict(zip(frame.columns, columns, strict=True)))
    try:
        parquet.write_table(table, path)
    except OSError as error:
        what = f"{path} cannot be written: {error}"
        raise SelectionRefused(what, "name a file in a directory that is there") from error


def _array(name: str, values: Sequence[Any]) -> Any:
    """A column of Arrow, of the one type that all its values have."""
    import pyarrow

    if name in ("started_at", "first_used_at", "last_used_at"):
        moments = [datetime.fromisoformat(value) if value else None for value in values]
        return pyarrow.array(moments, pyarrow.timestamp("ms", tz="UTC"))
    if name in _FLOATS or name.startswith("metrics."):
        return pyarrow.array(values, pyarrow.float64())
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pyarrow.array(values, pyarrow.string())
    if kinds == {int, float}:
        return pyarrow.array([None if v is None else float(v) for v in values], pyarrow.float64())
    if len(kinds) == 1 and (kinds <= {bool, float, str} or _fits(kinds, values)):
        return pyarrow.array(values)
    if kinds == {list} and name == "tags":
        return pyarrow.array(values, pyarrow.list_(pyarrow.string()))
    return pyarrow.array([None if v is None else _text(v) for v in values], pyarrow.string())


def _fits(kinds: set[type], values: Sequence[Any]) -> bool:
    return kinds == {int} and all(v is None or -(2**63) <= v < 2**63 for v in values)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else identity.shown(value, 100_000)
