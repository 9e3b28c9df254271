"""What an expression that chooses trials is made of: names, values and comparisons, all frozen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TypeAlias

from mitosis.errors import SelectionRefused
from mitosis.trial import JSON

HEX, TEXT, NUMBER, FLAG, TIME, SET, ANY = "hex", "text", "number", "flag", "time", "set", "any"

KINDS = {
    "id": HEX,
    "project": TEXT,
    "experiment": TEXT,
    "variant": TEXT,
    "params": ANY,
    "param_set": HEX,
    "seed": NUMBER,
    "status": TEXT,
    "main": ANY,
    "metrics": NUMBER,
    "commit": HEX,
    "branch": TEXT,
    "dirty": FLAG,
    "started_at": TIME,
    "seconds": NUMBER,
    "cpu_seconds": NUMBER,
    "sweep": HEX,
    "job": NUMBER,
    "folder": TEXT,
    "note": TEXT,
    "tags": SET,
    "taints": NUMBER,
    "code_identity": HEX,
    "expectation": TEXT,
    "removed": FLAG,
}
"""The names there are and the kind of value of each; below `params` and `metrics` are names of the user's."""

ORDERINGS = ("<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Key:
    """A name: `params` with the path below it (texts, and whole numbers for items of lists), or a column."""

    name: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        written = self.name
        for part in self.path:
            plain = isinstance(part, str) and re.fullmatch(r"\w[\w/-]*", part)
            written += f".{part}" if plain else f"[{part}]" if isinstance(part, int) else f'["{part}"]'
        return written


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it is meant, and the text that it was written as: `10` may be a number or a variant."""

    value: bool | int | float | str | datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A key against values: one of them, except under `in`."""

    key: Key
    operator: str  # == != < <= > >= in contains
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary."""

    part: Where


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    parts: tuple[Where, ...]


Where: TypeAlias = Compare | Not | And | Or


def keys(where: Where) -> Iterator[Key]:
    """Every name in the expression, from left to right."""
    if isinstance(where, Compare):
        yield where.key
    elif isinstance(where, Not):
        yield from keys(where.part)
    else:
        for part in where.parts:
            yield from keys(part)


def below(value: JSON, path: Sequence[str | int]) -> JSON:
    """What lies at `path` below a value of `params`; None where nothing does."""
    for part in path:
        within = isinstance(part, int) and isinstance(value, list | tuple) and part < len(value)
        if not within and not (isinstance(value, dict) and part in value):
            return None
        value = value[part]
    return value


def moment(text: str) -> datetime:
    """A date, a time (the user's own zone where none is given) or an age (`3h`, `2d`), in UTC.

    Raises SelectionRefused for any other text.
    """
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    try:
        if text[:-1].isdigit() and text[-1:] in units:
            return datetime.now(timezone.utc) - timedelta(**{units[text[-1]]: int(text[:-1])})
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        todo = "write 2026-01-31, 2026-01-31T12:00, or an age: 3h, 2d"
        raise SelectionRefused(f"{text!r} is no date", todo) from error
