"""The questions of `ls`: pages of summaries, counts of statuses, sweeps."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    false,
    func,
    literal_column,
    or_,
    select,
    union,
    union_all,
)
from sqlalchemy.sql.elements import UnaryExpression

from mitosis import where
from mitosis.errors import Refused
from mitosis.store import schema
from mitosis.store.conditions import condition, rank
from mitosis.store.load import is_hex, prefix, project_of
from mitosis.store.values import Query
from mitosis.trial import Status, Summary

_LISTED = (
    5_000  # rows of a page whose numbers go into one statement; a longer page is asked for by its filter
)
_METRIC = "metrics."
SWEEP_DIGITS = 12  # of the id of a sweep; fewer are its beginning

_T = schema.trials.c
NAMED = (
    schema.trials.outerjoin(schema.projects, schema.projects.c.id == _T.project)
    .outerjoin(schema.parameter_sets, schema.parameter_sets.c.digest == _T.param_set)
    .outerjoin(schema.parameter_values, schema.parameter_values.c.digest == _T.param_values)
)
PARAMS = func.coalesce(schema.parameter_values.c.text, schema.parameter_sets.c.text)

SORTS: dict[str, ColumnElement[Any]] = {
    "id": _T.id,
    "project": schema.projects.c.name,
    "experiment": _T.experiment,
    "variant": _T.variant,
    "params": PARAMS,
    "param_set": _T.param_set,
    "seed": _T.seed,
    "status": _T.status,
    "main": _T.main,
    "commit": _T.commit,
    "branch": _T.branch,
    "dirty": _T.dirty,
    "started_at": _T.started,
    "seconds": _T.seconds,
    "cpu_seconds": _T.cpu_seconds,
    "sweep": _T.sweep,
    "job": _T.job,
    "folder": _T.folder,
    "note": _T.note,
    "taints": _T.taints,
    "code_identity": _T.code_identity,
    "expectation": _T.expectation,
}
"""What a page can be sorted by, besides `metrics.NAME` and `params.NAME`."""


_LINE = (
    *(_T.seq, _T.id, schema.projects.c.name, _T.experiment, _T.variant, PARAMS),
    *(_T.param_set, _T.seed, _T.status, _T.main_text, _T.commit, _T.branch, _T.dirty, _T.started),
    *(_T.seconds, _T.cpu_seconds, _T.sweep, _T.job, _T.folder, _T.note, _T.taints, _T.code_identity),
    *(_T.expectation, _T.removed),
)
"""What `_summary` takes a row of, in its order."""


def find(connection: Connection, query: Query) -> list[Summary]:
    """One page of summaries, by two queries at most; raises Refused for an unknown `sort`."""
    rows = connection.execute(_page(query, connection.dialect.name)).all()
    if not rows:
        return []
    metrics, tags = _metrics_and_tags(connection, query, [row[0] for row in rows])
    return [_summary(row, metrics.get(row[0], {}), tags.get(row[0], ())) for row in rows]


def _summary(row: Sequence[Any], metrics: dict[str, float], tags: Sequence[str]) -> Summary:
    """The line of a row of `_LINE`; by place: a name costs more, and there may be thousands of rows."""
    _, name, project, experiment, variant, params, param_set, seed, status, main, *rest = row
    commit, branch, dirty, started, seconds, cpu_seconds, sweep, job, folder, note, *rest = rest
    taints, code, expectation, removed = rest
    return Summary(
        id=name,
        project=project,
        experiment=experiment,
        variant=variant,
        params=params,
        param_set=param_set,
        seed=seed,
        status=Status(status),
        main=None if main is None else json.loads(main),
        metrics=metrics,
        commit=commit,
        branch=branch,
        dirty=dirty,
        started_at=schema.iso(started),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        sweep=sweep,
        job=job,
        folder=folder,
        note=note,
        tags=tuple(sorted(tags)),
        taints=taints,
        code_identity=code or "",
        expectation=expectation or "",
        removed=removed is not None,
    )


def _page(query: Query, dialect: str) -> Select[Any]:
    """The rows of a page, joined to what they name; outer joins, so that `trials` leads the plan."""
    tables, column = _sorted_by(query.sort.removeprefix("-"), dialect)
    descending = query.sort.startswith("-")
    chosen = conditions(query, dialect)
    if query.after is not None:
        chosen.append(_beyond(tables, column, descending, query.after))
    order = _order(column, descending)
    if query.limit is not None and column is not _T.started:
        # no index has this order: what is sorted are numbers of rows, not rows with all their texts
        if query == Query(project=query.project, sort=query.sort, limit=query.limit, after=query.after):
            # nearly every row: SQLite shall read them by their start, much as they lie on the disk
            chosen.append(_T.started > -(2**62))
        page = select(_T.seq).select_from(tables).where(*chosen).order_by(*order).limit(query.limit)
        chosen = [_T.seq.in_(page.correlate(None))]
    return select(*_LINE).select_from(tables).where(*chosen).order_by(*order).limit(query.limit)


def _sorted_by(name: str, dialect: str) -> tuple[FromClause, ColumnElement[Any]]:
    """The column, or the value of a metric or a parameter, that `name` means, and where it stands."""
    if name.startswith("params."):
        key = where.parse_key(name)
        sets, values = (
            # an offset keeps the database from reading the text again for each trial
            select(table.c.digest, rank(table.c.text, key, dialect).label("rank")).offset(0).subquery()
            for table in (schema.parameter_sets, schema.parameter_values)
        )
        tables = NAMED.outerjoin(sets, sets.c.digest == _T.param_set)
        tables = tables.outerjoin(values, values.c.digest == _T.param_values)
        return tables, case((_T.param_values.is_(None), sets.c.rank), else_=values.c.rank)
    if name.startswith(_METRIC):
        table = schema.metrics
        one = (table.c.trial == _T.seq) & (table.c.name == name.removeprefix(_METRIC))
        return NAMED, select(table.c.value).where(one).scalar_subquery()
    if name not in SORTS:
        todo = f"sort by {', '.join(SORTS)}, metrics.NAME or params.NAME"
        raise Refused(f"trials cannot be sorted by {name!r}", todo)
    return NAMED, SORTS[name]


def _always_there(column: ColumnElement[Any]) -> bool:
    return getattr(column, "table", None) is schema.trials and not getattr(column, "nullable", True)


def _order(column: ColumnElement[Any], descending: bool) -> Sequence[ColumnElement[Any]]:
    value: UnaryExpression[Any] = column.desc() if descending else column.asc()
    if _always_there(column):
        return value, _T.seq.desc()
    return column.is_(None), value, _T.seq.desc()


def _at(tables: FromClause, column: ColumnElement[Any], trial: str) -> ColumnElement[Any]:
    """The value of `column` in the row of `trial`, inside a larger question over the same tables."""
    row = select(column).select_from(tables).where(_T.id == trial)
    return row.correlate(None).scalar_subquery()


def _beyond(
    tables: FromClause, column: ColumnElement[Any], descending: bool, after: str
) -> ColumnElement[bool]:
    """Whether a row comes after the trial `after` in the order: a page by key needs no counting of rows.

    The values of that trial are looked up in the same statement. Where it is not in the store,
    nothing comes after it.
    """
    value, seq = _at(tables, column, after), _at(NAMED, _T.seq, after)
    further = column < value if descending else column > value
    tie = and_(column == value, _T.seq < seq)
    if _always_there(column):
        # the first half is what an index is entered by
        return and_(column <= value if descending else column >= value, or_(further, tie))
    return or_(
        further,
        tie,
        and_(column.is_(None), value.is_not(None)),
        and_(column.is_(None), value.is_(None), _T.seq < seq),
    )


def _of_sweep(name: str) -> Any:
    """The numbers of the sweep's own trials and of earlier ones that stand for its jobs, by indexes."""
    own, claims = schema.trials.alias("own").c, schema.claims.c
    whole = len(name) >= SWEEP_DIGITS or not is_hex(name)

    def it(column: ColumnElement[str]) -> ColumnElement[bool]:
        return column == name if whole else prefix(column, name)

    return union(select(own.seq).where(it(own.sweep)), select(claims.trial).where(it(claims.sweep)))


def conditions(query: Query, dialect: str) -> list[ColumnElement[bool]]:
    """What a trial must satisfy; comparisons with bare columns, so that an index can answer them."""
    found: list[ColumnElement[bool]] = []
    if query.project is not None:
        found.append(_T.project == project_of(query.project))
    asked = query.where is not None and any(key.name == "removed" for key in where.keys(query.where))
    if not query.removed and not asked:
        found.append(_T.removed.is_(None))
    for column, wanted in (
        (_T.code_identity, query.code_identity),
        (_T.experiment, query.experiment),
        (_T.variant, query.variant),
    ):
        if wanted is not None:
            found.append(column == wanted)
    if query.param_set is not None:
        # few trials have one: by their numbers, or SQLite would read all of the project that have the status
        alike = schema.trials.alias("alike").c
        found.append(_T.seq.in_(select(alike.seq).where(alike.param_set == query.param_set)))
    if query.sweep is not None:
        found.append(_T.seq.in_(_of_sweep(query.sweep)))
    if query.seed is not None:
        found.append(_T.seed == query.seed if query.seed in schema.SEEDS else false())
    if len(query.status) == 1:
        found.append(_T.status == query.status[0].value)
    elif query.status:
        found.append(_T.status.in_([status.value for status in query.status]))
    if query.commit is not None:
        commit = query.commit.strip().lower()
        found.append(prefix(_T.commit, commit) if is_hex(commit) else false())
    if query.since is not None:
        found.append(_T.started >= schema.micros(query.since))
    if query.until is not None:
        found.append(_T.started < schema.micros(query.until))
    for tag in query.tags:
        tagged = select(schema.tags.c.trial).where(schema.tags.c.name == tag)
        found.append(_T.seq.in_(tagged))
    if query.where is not None:
        found.append(condition(query.where, dialect))
    return found


def _metrics_and_tags(
    connection: Connection, query: Query, seqs: Sequence[int]
) -> tuple[dict[int, dict[str, float]], dict[int, list[str]]]:
    """By one query: what the page's trials measured, and how they are tagged."""
    m, t = schema.metrics.c, schema.tags.c
    chosen: Any = (
        seqs if len(seqs) <= _LISTED else select(_T.seq).where(*conditions(query, connection.dialect.name))
    )
    none = literal_column("NULL", schema.metrics.c.value.type)
    both = union_all(
        select(m.trial, literal_column("0").label("is_tag"), m.name, m.value).where(m.trial.in_(chosen)),
        select(t.trial, literal_column("1"), t.name, none).where(t.trial.in_(chosen)),
    )
    metrics: dict[int, dict[str, float]] = defaultdict(dict)
    tags: dict[int, list[str]] = defaultdict(list)
    for trial, is_tag, name, value in connection.execute(both).all():
        if is_tag:
            tags[trial].append(name)
        else:
            metrics[trial][name] = math.nan if value is None else value
    return metrics, tags


def count(connection: Connection, query: Query) -> dict[Status, int]:
    """How many trials of each status there are; `sort`, `limit` and `after` do not matter."""
    chosen = conditions(query, connection.dialect.name)
    question = select(_T.status, func.count()).where(*chosen).group_by(_T.status)
    counts = {Status(status): number for status, number in connection.execute(question)}
    return {status: counts[status] for status in Status if status in counts}


def _is_running() -> ColumnElement[bool]:
    # the word itself, not a parameter: only so SQLite knows that the partial index answers
    word: ColumnElement[str] = literal_column(f"'{Status.RUNNING.value}'")
    return _T.status == word


def running(connection: Connection) -> list[int]:
    """The rows of the trials that run, oldest first."""
    question = select(_T.seq).where(_is_running()).order_by(_T.started, _T.seq)
    return list(connection.execute(question).scalars())


def silences(connection: Connection, now: int) -> dict[str, float]:
    """By id, the seconds from the last heartbeat of each running trial to `now` (microseconds)."""
    question = select(_T.id, _T.heartbeat).where(_is_running())
    return {trial: (now - beat) / 1e6 for trial, beat in connection.execute(question) if beat is not None}


def standing(connection: Connection, name: str, first: int, last: int) -> dict[int, Summary]:
    """By number, the trials that stand for the jobs `first` to `last` of the sweep; two queries."""
    claims = schema.claims.c
    within = (claims.sweep == name, claims.job >= first, claims.job <= last)
    question = (
        select(*_LINE, claims.job)
        .select_from(NAMED.join(schema.claims, claims.trial == _T.seq))
        .where(*within)
    )
    rows = connection.execute(question).all()
    m = schema.metrics.c
    holders = select(claims.trial).where(*within)
    metrics: dict[int, dict[str, float]] = defaultdict(dict)
    for trial, metric, value in connection.execute(
        select(m.trial, m.name, m.value).where(m.trial.in_(holders))
    ):
        metrics[trial][metric] = math.nan if value is None else value
    return {row[-1]: _summary(row[:-1], metrics[row[0]], ()) for row in rows}


def integrity(connection: Connection) -> list[str]:
    """SQLite's own findings on its pages and references; a server checks its pages itself."""
    if connection.dialect.name != "sqlite":
        return []
    pages = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"]
    orphans = [
        f"a row of {row[0]} refers to a row of {row[2]} that is not there"
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check")
    ]
    return [str(line) for line in pages] + orphans


def reads(connection: Connection, question: Query) -> dict[str, tuple[str | None, str | None]]:
    """By id, the keys of the lists of inputs, declared and observed, of those of the trials that read any."""
    details = schema.details.c
    found = (
        select(_T.id, details.declared, details.observed)
        .select_from(NAMED.join(schema.details, details.trial == _T.seq))
        .where(or_(details.declared.is_not(None), details.observed.is_not(None)))
        .where(*conditions(question, connection.dialect.name))
    )
    return {row.id: (row.declared, row.observed) for row in connection.execute(found)}
