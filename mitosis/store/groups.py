"""Counts and means of groups of trials, reckoned by the database: what `ls --group-by` shows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, case, func, not_, select

from mitosis import identity
from mitosis.errors import SelectionRefused
from mitosis.store import conditions, query, schema
from mitosis.store.values import Group, Query
from mitosis.trial import Status
from mitosis.where import Key, below

_T = schema.trials.c
_LARGE, _SCALE = 1e280, 2.0**64  # a sum of 1e28 numbers below the one is a float; the other loses no digit
_PLAIN = (
    *("id", "project", "experiment", "variant", "param_set", "seed", "status", "commit", "branch", "dirty"),
    *("sweep", "job", "note", "code_identity", "expectation"),
)


def groups(connection: Connection, question: Query, by: Sequence[Key]) -> list[Group]:
    """The groups that have equal values of all the keys `by`, in the order of those values.

    Raises SelectionRefused for a key that trials cannot be grouped by.
    """
    for key in by:
        if key.name not in _PLAIN and key.name != "params":
            todo = f"group by params.NAME, {', '.join(_PLAIN)}"
            raise SelectionRefused(f"trials cannot be grouped by {key}", todo)
    columns = [query.SORTS[key.name].label(f"by{at}") for at, key in enumerate(by) if key.name != "params"]
    if len(columns) < len(by):  # each text is read once, by us: values are told apart as in a digest
        columns.append(query.PARAMS.label("text"))
    main = _T.main
    # large ones are added scaled: a sum beyond what a float holds is an error, or no number, to a database
    large = func.abs(main) > _LARGE
    sums = (func.sum(case((not_(large), main))), func.sum(case((large, main / _SCALE))))
    numbers = (func.count(main), *sums, func.min(main), func.max(main))
    counted = select(*columns, _T.status, func.count().label("n"), *numbers).select_from(query.NAMED)
    counted = counted.where(*query.conditions(question, connection.dialect.name))
    counted = counted.group_by(*columns, _T.status)
    found: dict[tuple[str, ...], _Sum] = defaultdict(_Sum)
    texts: dict[str, Any] = {}
    for row in connection.execute(counted):
        values = tuple(_value(row, at, key, texts) for at, key in enumerate(by))
        found[tuple(identity.canonical(value) for value in values)].add(values, row)
    return [total.group() for _, total in sorted(found.items(), key=lambda item: _order(item[1].values))]


class _Sum:
    """The rows of one group so far."""

    def __init__(self) -> None:
        self.values: tuple[Any, ...] = ()
        self.counts: dict[Status, int] = defaultdict(int)
        self.numbers = 0
        self.total = 0.0
        self.large = 0.0  # of those beyond _LARGE, each divided by _SCALE
        self.low: float | None = None
        self.high: float | None = None

    def add(self, values: tuple[Any, ...], row: Any) -> None:
        self.values = values
        status = Status(row.status)
        self.counts[status] += row.n
        numbers, total, large, low, high = row[-5:]
        if status is not Status.SUCCEEDED or not numbers:
            return
        self.numbers += numbers
        self.total += total or 0.0
        # infinities of both signs have no sum, which SQLite says by NULL
        self.large += (math.nan if low == -high == -math.inf else 0.0) if large is None else large
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def group(self) -> Group:
        counts = {status: self.counts[status] for status in Status if status in self.counts}
        n = self.numbers
        mean = self.total / n + self.large / n * _SCALE if n else None
        return Group(self.values, counts, self.numbers, mean, self.low, self.high)


def _value(row: Any, at: int, key: Key, texts: dict[str, Any]) -> Any:
    if key.name != "params":
        return getattr(row, f"by{at}")
    if row.text not in texts:
        texts[row.text] = identity.parse(row.text)
    return below(texts[row.text], key.path)


def _order(values: tuple[Any, ...]) -> list[tuple[bool, bool, Any]]:
    """Numbers by size, then texts and everything else by what is shown of them, what is absent last."""
    ranks: list[tuple[bool, bool, Any]] = []
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
        plain = number or isinstance(value, str)
        ranks.append((value is None, not number, value if plain else identity.shown(value)))
    return ranks


def absent(connection: Connection, wanted: Iterable[Key]) -> list[Key]:
    """The parameters and metrics among the keys that no trial of the store has."""
    missing = []
    for key in dict.fromkeys(wanted):
        if key.name == "metrics":
            m = schema.metrics.c
            there = [select(m.trial).where(m.name == key.path[0])]
        elif key.name == "params":
            there = [
                select(table.c.digest).where(conditions.has(table.c.text, key, connection.dialect.name))
                for table in (schema.parameter_sets, schema.parameter_values)
            ]
        else:
            continue
        if not any(connection.execute(question.limit(1)).first() for question in there):
            missing.append(key)
    return missing
