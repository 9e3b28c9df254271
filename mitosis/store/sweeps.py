"""How a sweep stands: what has begun, what waits, when it began, and where it runs."""

from __future__ import annotations

import json

from sqlalchemy import Connection, false, func, select

from mitosis.errors import TrialNotFound
from mitosis.store import schema
from mitosis.store.load import is_hex, prefix, project_of
from mitosis.store.rows import server_now
from mitosis.store.values import SweepRecord, SweepState
from mitosis.trial import Status

_NAMED = 10
_HOSTS = 1_000  # of the latest trials of a sweep, whose hosts are read


def get(connection: Connection, name: str) -> SweepRecord | None:
    """The sweep whose id is `name`; None where there is none."""
    table, projects = schema.sweeps, schema.projects
    question = (
        select(table, projects.c.name.label("project_name"))
        .join(projects, projects.c.id == table.c.project)
        .where(table.c.id == name)
    )
    row = connection.execute(question).first()
    if row is None:
        return None
    started = None if row.started is None else schema.iso(row.started)
    return SweepRecord(row.id, row.project_name, row.command, row.size, started)


def latest(connection: Connection, name: str | None, project: str | None) -> SweepRecord | None:
    """The latest sweep of the project whose id begins with `name`; None where there is none."""
    table = schema.sweeps
    begun = select(schema.claims.c.sweep).where(schema.claims.c.sweep == table.c.id).exists()
    question = select(table.c.id).where(begun).order_by(table.c.started.desc().nulls_last()).limit(1)
    if name is not None:
        question = question.where(prefix(table.c.id, name) if is_hex(name) else false())
    if project is not None:
        question = question.where(table.c.project == project_of(project))
    found = connection.execute(question).scalar()
    return None if found is None else get(connection, found)


def jobs(connection: Connection, name: str) -> tuple[dict[Status, int], int]:
    """How the jobs of the sweep stand: trials of its own by status, and how many an earlier trial stands for.

    A job that was run again counts once, by the trial that holds its claim.
    """
    claims = schema.claims.c
    own = schema.trials.c.sweep == name
    question = (
        select(schema.trials.c.status, own.label("own"), func.count())
        .select_from(schema.claims.join(schema.trials, schema.trials.c.seq == claims.trial))
        .where(claims.sweep == name)
        .group_by(schema.trials.c.status, own)
    )
    counts: dict[Status, int] = {}
    skipped = 0
    for status, is_own, number in connection.execute(question):
        if is_own:
            counts[Status(status)] = number
        else:
            skipped += number
    return counts, skipped


def stood_for(connection: Connection, name: str) -> list[int]:
    """The jobs of the sweep that a trial of another sweep, or of none, stands for."""
    claims, trials = schema.claims.c, schema.trials.c
    question = (
        select(claims.job)
        .select_from(schema.claims.join(schema.trials, trials.seq == claims.trial))
        .where(claims.sweep == name, trials.sweep.is_distinct_from(name))
    )
    return list(connection.execute(question).scalars())


def named(connection: Connection, name: str) -> SweepRecord | None:
    """The sweep whose id begins with `name`; None where there is none.

    Raises TrialNotFound with those that it could be.
    """
    column = schema.sweeps.c.id
    begins = prefix(column, name) if is_hex(name) else column == name
    found = list(connection.execute(select(column).where(begins).order_by(column).limit(_NAMED)).scalars())
    if len(found) > 1 and name not in found:
        what = f"{name} is the beginning of more than one id of a sweep: {', '.join(found)}"
        raise TrialNotFound(what, "give more digits of the one you mean")
    return get(connection, name if name in found else found[0]) if found else None


def unbegun(connection: Connection, project: str | None) -> str | None:
    """The id of the newest sweep of the project where none of its jobs has begun yet; None where one has."""
    table = schema.sweeps.c
    newest = select(table.id).order_by(table.started.desc().nulls_last()).limit(1)
    if project is not None:
        newest = newest.where(table.project == project_of(project))
    found = connection.execute(newest).scalar()
    claimed = select(schema.claims.c.sweep).where(schema.claims.c.sweep == found).limit(1)
    return found if connection.execute(claimed).first() is None else None


def state(connection: Connection, sweep: str, hosts: bool) -> SweepState | None:
    """How the sweep with that id stands, with its hosts on demand; None where it is not known."""
    record = get(connection, sweep)
    if record is None:
        return None
    counts, skipped = jobs(connection, sweep)
    trials, details = schema.trials.c, schema.details.c
    first, last = connection.execute(
        select(func.min(trials.started), func.max(trials.started)).where(trials.sweep == sweep)
    ).one()
    specs = (
        select(details.spec)
        .join(schema.trials, trials.seq == details.trial)
        .where(trials.sweep == sweep)
        .order_by(trials.job.desc())
        .limit(_HOSTS)
    )
    texts = connection.execute(specs).scalars() if hosts else ()
    names = {json.loads(text)["process"]["host"] for text in texts}
    began, latest = (None if at is None else schema.iso(at) for at in (first, last))
    now = schema.iso(server_now(connection))
    return SweepState(record, counts, skipped, began, latest, now, tuple(sorted(names)))
