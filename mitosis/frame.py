"""Lays trials out as a flat table: a column for each key, each parameter and each metric of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mitosis import identity, telling
from mitosis.errors import SelectionRefused
from mitosis.folder import TrialFolder
from mitosis.trial import Summary
from mitosis.where import KINDS, Key, below, parse_key

PATHS = ("notebook", "html")
"""Keys that are no column of the store: files that are there or not."""

BASE = (
    *("id", "experiment", "variant", "param_set", "seed", "status", "main", "commit", "branch", "dirty"),
    *("started_at", "seconds", "cpu_seconds", "sweep", "folder", "note", "tags"),
)
"""The keys that a table of everything begins with."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A table: names of columns, and rows of values with None where a trial has none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def whole(trials: Sequence[Summary]) -> Frame:
    """All there is of the trials: `BASE`, then `params.NAME` and `metrics.NAME` as they are first met."""
    flat = [_leaves(trial) for trial in trials]
    names = list(dict.fromkeys(name for leaves in flat for name in leaves))
    names.sort(key=lambda name: name.startswith("metrics."))
    rows = (
        (*(_column(trial, key) for key in BASE), *(leaves.get(name) for name in names))
        for trial, leaves in zip(trials, flat, strict=True)
    )
    return Frame((*BASE, *names), tuple(rows))


def chosen(trials: Iterable[Summary], columns: Sequence[str]) -> Frame:
    """The named columns; raises SelectionRefused, with the names there are, for one that is not known."""
    readers = [reader(name) for name in columns]
    return Frame(tuple(columns), tuple(tuple(read(trial) for read in readers) for trial in trials))


def reader(name: str) -> Callable[[Summary], Any]:
    """What reads the column of that name off a trial: a key, `params.a.b`, `metrics.NAME`."""
    if name in PATHS:
        return lambda trial: _column(trial, name)
    try:
        key = parse_key(name)
    except SelectionRefused as error:
        raise SelectionRefused(f"there is no column {name!r}: {error.what}", error.todo) from error
    return lambda trial: _value(trial, key)


def differing(trials: Sequence[Summary]) -> list[str]:
    """The parameters whose values are not the same in all trials, as `params.NAME`, in their own order."""
    texts = list(dict.fromkeys(trial.params for trial in trials))
    flat = [dict(telling.leaves(identity.parse(text), "params")) for text in texts]
    names = dict.fromkeys(name for leaves in flat for name in leaves)
    return [
        name
        for name in names
        if len({identity.canonical(leaves[name]) if name in leaves else "" for leaves in flat}) > 1
    ]


def _leaves(trial: Summary) -> dict[str, Any]:
    params = telling.leaves(identity.parse(trial.params), "params")
    metrics = ((f"metrics.{name}", value) for name, value in trial.metrics.items())
    return {**{name: value for name, value in params if name != "params"}, **dict(metrics)}


def _value(trial: Summary, key: Key) -> Any:
    if key.name == "metrics":
        return trial.metrics.get(str(key.path[0]))
    if key.name != "params":
        return _column(trial, key.name)
    return below(identity.parse(trial.params), key.path)


def _column(trial: Summary, name: str) -> Any:
    folder = TrialFolder(trial.folder)
    if name in PATHS:
        path = getattr(folder, name)
        return str(path) if path.exists() else None
    if name == "status":
        return trial.status.value
    if name == "folder":
        return str(folder.path)
    if name == "tags":
        return list(trial.tags)
    assert name in KINDS, name
    value = getattr(trial, name)
    return None if value == "" and name in ("code_identity", "expectation") else value
