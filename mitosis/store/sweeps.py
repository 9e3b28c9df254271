"""How a sweep stands: what has begun, what waits, when it began, and where it runs."""

from __future__ import annotations

import json

from sqlalchemy import Connection, func, select

from mitosis.errors import TrialNotFound
from mitosis.store import query, schema
from mitosis.store.load import is_hex, prefix, project_of
from mitosis.store.rows import server_now
from mitosis.store.values import SweepRecord, SweepState

_NAMED = 10
_HOSTS = 1_000  # of the latest trials of a sweep, whose hosts are read


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
    return query.sweep(connection, name if name in found else found[0]) if found else None


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
    record = query.sweep(connection, sweep)
    if record is None:
        return None
    counts, skipped = query.jobs(connection, sweep)
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
