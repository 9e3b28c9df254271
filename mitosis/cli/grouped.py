"""`mitosis ls --group-by`: how many trials of each kind there are, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitosis import where
from mitosis.cli import select, tables, text
from mitosis.errors import SelectionRefused
from mitosis.frame import Frame
from mitosis.trial import Status
from mitosis.where import Key

if TYPE_CHECKING:
    from mitosis.store import Query, Store
    from mitosis.store.values import Group

_DIGESTS = ("id", "commit", "sweep", "param_set")
_NUMBERS = ("n", "mean", "min", "max")


def show(store: Store | None, query: Query, names: Sequence[str], given: dict[str, Any]) -> int:
    """Print the groups in the form that was asked for; `names` are keys as in `--where`."""
    if given["watch"]:
        raise SelectionRefused("groups are not watched", "leave --watch or --group-by out")
    if not names:
        raise SelectionRefused("nothing is named to group by", "write --group-by params.dt,status")
    keys = [where.parse_key(name) for name in names]
    found = store.groups(query, keys) if store is not None else []
    if store is not None:
        select.warn(store, query, names)
    table = _frame(names, found)
    if given["as_json"] or given["as_csv"] or given["parquet"]:
        _export(table, given["as_json"], given["parquet"])
        return 0
    if not found:
        select.nothing(store, given)
        return 0
    assert store is not None
    with tables.paged():
        tables.show(table.columns, _cells(store, keys, table.rows), right=table.columns[len(names) :])
        print("n, mean, min and max are of the numbers `main` of those that succeeded")
    tables.hint("mitosis ls --where '...' for the trials of one group")
    return 0


def _frame(names: Sequence[str], found: Sequence[Group]) -> Frame:
    there = [status for status in Status if any(status in group.counts for group in found)]
    columns = (*names, "trials", *(status.value for status in there), *_NUMBERS)
    rows = (
        (
            *group.values,
            sum(group.counts.values()),
            *(group.counts.get(status, 0) for status in there),
            *(group.n, group.mean, group.low, group.high),
        )
        for group in found
    )
    return Frame(columns, tuple(rows))


def _cells(store: Store, keys: Sequence[Key], rows: Sequence[Sequence[Any]]) -> list[list[tables.Cell]]:
    """The rows as text, digests and ids shortened by one query for each column."""
    columns: list[list[tables.Cell]] = []
    for at, values in enumerate(zip(*rows, strict=True)):
        kind = keys[at].name if at < len(keys) else ""
        short = store.brief(kind, {v for v in values if isinstance(v, str) and v}) if kind in _DIGESTS else {}
        columns.append([short[v] if isinstance(v, str) and v in short else text.number(v) for v in values])
    return [list(row) for row in zip(*columns, strict=True)]


def _export(table: Frame, as_json: bool, parquet: Path | None) -> None:
    from mitosis.cli import answers, export

    if as_json:
        answers.emit(export.records(table))
    else:
        export.write(table, parquet)
