"""`mitosis ls`: trials, newest first, chosen, grouped, exported, watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mitosis import frame
from mitosis.cli import locate, select, tables, text
from mitosis.trial import Status, Summary

if TYPE_CHECKING:
    from mitosis.store import Query, Store

_ALIASES = {"took": "seconds", "started": "started_at"}
_FIXED = ("id", "", "experiment", "variant", "seed", "status", "main", "took", "commit", "started")
_LESS = ("started", "commit", "took", "experiment")  # left out where a terminal is narrow, in this order
_RIGHT = {"seed", "main", "took", "seconds", "cpu_seconds", "job", "taints"}
_DIGESTS = ("id", "commit", "sweep", "param_set")
_FORMATS = ("as_json", "as_csv", "parquet", "watch")


@click.command()
@select.options
@click.option("--all", "removed", is_flag=True, help="Those in the trash too, marked by x.")
@click.option("--columns", metavar="KEYS", help="These instead: id,params.dt,metrics.loss,started.")
@click.option("--group-by", "by", metavar="KEYS", help="Count instead, by: status,params.dt,variant.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@tables.export_options("all that match, with all columns")
@click.option("--watch", is_flag=True, help="Show it again and again until nothing runs any more.")
@locate.store_option
def command(url: str | None, columns: str | None, by: str | None, **given: Any) -> int:
    """List trials, newest first."""
    chosen = tables.one_form(*(given[name] for name in _FORMATS))
    query = select.query(given)
    if (given["as_csv"] or given["parquet"]) and given["limit"] is None:
        query = replace(query, limit=None)
    names = _names(columns)
    frame.chosen((), names or ())  # refuses what is no column
    with locate.opened(url) as store:
        if by is not None:
            from mitosis.cli import grouped

            return grouped.show(store, query, _names(by) or [], given)
        if given["watch"]:
            return _watch(store, query, names)
        found = _found(store, query)
        more = query.limit is not None and len(found) > query.limit
        found = found[: query.limit]
        if store is not None:
            select.warn(store, query, names or ())
        if chosen:
            _export(found, names, given)
            return 0
        if not found:
            select.nothing(store, given)
            return 0
        with tables.paged():
            print("\n".join(_lines(store, found, names)))
        assert store is not None
        before = "more with --limit 0; " if more else ""
        tables.hint(f"mitosis show {store.short(found[0].id)}", before)
    return 0


def _found(store: Store | None, query: Query) -> list[Summary]:
    """A page and one trial beyond it, which tells that there are more: to count them reads a whole index."""
    ahead = replace(query, limit=None if query.limit is None else query.limit + 1)
    return store.find(ahead) if store is not None else []


def _names(columns: str | None) -> list[str] | None:
    if columns is None:
        return None
    return [_ALIASES.get(name, name) for name in (part.strip() for part in columns.split(",")) if name]


def _export(found: Sequence[Summary], names: Sequence[str] | None, given: dict[str, Any]) -> None:
    from mitosis.cli import answers, export

    if given["as_json"]:
        answers.emit(
            [answers.line(s) for s in found] if names is None else export.records(frame.chosen(found, names))
        )
        return
    table = frame.whole(found) if names is None else frame.chosen(found, names)
    export.write(table, given["parquet"])


def _watch(store: Store | None, query: Query, names: Sequence[str] | None) -> int:
    from mitosis.cli import watch

    def look() -> watch.Look:
        if store is None:
            return watch.Look(["no trial yet"], runs=False, waits=False)
        from mitosis import settle

        settle.settle(store, None)
        found = store.find(query)
        states = watch.sweeps_of(store, found, query.sweep, query.project)
        short = store.brief("sweep", [state.record.id for state in states])
        lines = _lines(store, found, names) if found else ["no trial yet"]
        lines += [watch.line(state, short[state.record.id]) for state in states]
        runs = any(t.status is Status.RUNNING for t in found) or any(s.running for s in states)
        return watch.Look(lines, runs, any(watch.waits(s, query.sweep is not None) for s in states))

    watch.follow(look)
    newest = store.find(replace(query, limit=1)) if store is not None else []
    if store is not None and newest:
        tables.hint(f"mitosis show {store.short(newest[0].id)}")
    return 0


def _lines(store: Store | None, found: Sequence[Summary], names: Sequence[str] | None) -> list[str]:
    """The table; by default with the parameters that differ, as many as fit into the terminal."""
    assert store is not None
    shown = list(_FIXED) if names is None else list(names)
    used = [kind for kind in _DIGESTS if kind in shown]
    short = {kind: store.brief(kind, [d for t in found if (d := getattr(t, kind))]) for kind in used}
    columns = {name: [_cell(trial, name, short) for trial in found] for name in shown}
    if names is None:
        if not any(columns[""]):  # nothing is marked
            del columns[""]
        for name in _LESS:  # rather than to cut what is left
            if _room(columns) < 0:
                del columns[name]
        columns = _with_parameters(found, columns)
    rows = list(zip(*columns.values(), strict=True))
    right = {n for n in columns if n in _RIGHT or n.startswith("metrics.")}
    right |= {n for n in columns if n.startswith("params.") and _numbers(found, n)}
    lines = tables.lines(list(columns), rows, right)
    if names is None and any(trial.taints for trial in found):
        lines.append("! the record of this trial is not proven: mitosis show ID says why")
    return lines


def _with_parameters(
    found: Sequence[Summary], columns: dict[str, list[tables.Cell]]
) -> dict[str, list[tables.Cell]]:
    """The columns, and after the seed those parameters that differ and for which the terminal has room."""
    if tables.wide() is None:
        return columns
    room = _room(columns) - 2
    added = {}
    for name in frame.differing(found):
        read = frame.reader(name)
        cells: list[tables.Cell] = [text.number(read(trial)) for trial in found]
        room -= _width(name, cells) + 2
        if room < 0:
            break
        added[name] = cells
    before = list(columns).index("seed") + 1
    items = list(columns.items())
    return dict([*items[:before], *added.items(), *items[before:]])


def _room(columns: dict[str, list[tables.Cell]]) -> int:
    """How many columns of the terminal are left beside these; 0 where there is none."""
    wide = tables.wide()
    return 0 if wide is None else wide + 2 - sum(_width(name, cells) + 2 for name, cells in columns.items())


def _width(name: str, cells: Sequence[tables.Cell]) -> int:
    texts = [cell.text if isinstance(cell, tables.Styled) else cell for cell in cells]
    return max(tables.width(part) for part in (name, *texts))


def _numbers(found: Sequence[Summary], name: str) -> bool:
    read = frame.reader(name)
    return all(isinstance(read(trial), int | float | None) for trial in found)


def _cell(trial: Summary, name: str, short: dict[str, dict[str, str]]) -> tables.Cell:
    """A value as it stands in the table."""
    if name == "":
        return ("x" if trial.removed else "") + ("!" if trial.taints else "")
    if name in ("took", "started"):
        return text.seconds(trial.seconds) if name == "took" else text.local(trial.started_at)
    value = frame.reader(name)(trial)
    if name in short:
        dirty = "+" if name == "commit" and trial.dirty else ""
        return f"{short[name][value]}{dirty}" if value else "-"
    if name == "status":
        shown = tables.status(trial.status)
        return shown._replace(text=f"{shown.text}, {trial.expectation}") if trial.expectation else shown
    if name in ("seconds", "cpu_seconds"):
        return text.seconds(value)
    if name == "started_at":
        return text.local(value)
    if isinstance(value, str):
        return text.brief(value)
    return " ".join(text.safe(tag) for tag in value) if name == "tags" else text.number(value)
