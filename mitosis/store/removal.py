"""The mark of a trial that lies in the trash, where its folder is, and what refers to it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, delete, select, update

from mitosis.errors import TrialNotFound
from mitosis.store import schema
from mitosis.store.rows import add_once, dumps, server_now
from mitosis.trial import Remark


def mark(connection: Connection, trial: str, removed: bool, folder: str, at: int | None = None) -> bool:
    """Say that the trial is in the trash (or is not any more), and where its folder is.

    A trial in the trash stands for no job of a sweep. Returns whether anything was changed; raises
    TrialNotFound where the store has no such trial.
    """
    table, details, claims = schema.trials, schema.details, schema.claims
    columns = (table.c.seq, table.c.removed, table.c.folder, table.c.sweep, table.c.job)
    row = connection.execute(select(*columns).where(table.c.id == trial).with_for_update()).first()
    if row is None:
        raise TrialNotFound(f"the store has no trial {trial}", "bring it in: mitosis check")
    if (row.removed is not None) == removed and row.folder == folder:
        return False
    when = (server_now(connection) if at is None else at) if removed else None
    connection.execute(update(table).where(table.c.seq == row.seq).values(removed=when, folder=folder))
    of_trial = details.c.trial == row.seq
    spec = json.loads(connection.execute(select(details.c.spec).where(of_trial)).scalar_one())
    connection.execute(update(details).where(of_trial).values(spec=dumps({**spec, "folder": folder})))
    if removed:
        connection.execute(delete(claims).where(claims.c.trial == row.seq))
    elif row.sweep is not None and row.job is not None:
        add_once(connection, claims, {"sweep": row.sweep, "job": row.job, "trial": row.seq})
    return True


def references(connection: Connection, trial: str) -> list[Remark]:
    """What refers to the trial: sweeps it stands in, trials that read its outputs or were measured with it.

    Trials in the trash do not count. The `where` of each is an id: of a trial, or of a sweep.
    """
    trials, claims = schema.trials, schema.claims
    row = connection.execute(
        select(trials.c.seq, trials.c.sweep, schema.details.c.written)
        .join(schema.details, schema.details.c.trial == trials.c.seq)
        .where(trials.c.id == trial)
    ).first()
    if row is None:
        return []
    held = select(claims.c.sweep).where(claims.c.trial == row.seq).distinct()
    found = [
        Remark("stands_in", f"it stands for a job of the sweep {sweep}", sweep)
        for sweep in connection.execute(held).scalars()
        if sweep != row.sweep
    ]
    found += [
        Remark("attested", f"an attestation of trial {other} names it", other)
        for other in _attested(connection, trial)
    ]
    if row.written is not None:
        found += _readers(connection, row.seq, row.written)
    return found


def _attested(connection: Connection, trial: str) -> list[str]:
    trials, table = schema.trials, schema.attestations
    question = (
        select(trials.c.id)
        .join(table, table.c.trial == trials.c.seq)
        .where(table.c.content.contains(trial), trials.c.id != trial, trials.c.removed.is_(None))
        .distinct()
    )
    return list(connection.execute(question).scalars())


def _readers(connection: Connection, seq: int, written: str) -> list[Remark]:
    """Trials whose inputs are files that the trial wrote, by name and content."""
    ours, theirs, trials, details = schema.files.alias(), schema.files.alias(), schema.trials, schema.details
    same: Any = (theirs.c.digest == ours.c.digest) & (theirs.c.path == ours.c.path)
    read = (details.c.observed == theirs.c.file_set) | (details.c.declared == theirs.c.file_set)
    question = (
        select(trials.c.id, ours.c.path)
        .select_from(ours)
        .join(theirs, same)
        .join(details, read)
        .join(trials, trials.c.seq == details.c.trial)
        .where(ours.c.file_set == written, trials.c.seq != seq, trials.c.removed.is_(None))
        .distinct()
    )
    first = {row.id: row.path for row in connection.execute(question)}
    return [Remark("read", f"trial {other} read its output {path}", other) for other, path in first.items()]
