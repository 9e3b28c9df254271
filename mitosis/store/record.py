"""Writes trials: the rows of one that starts, ends, or is brought in whole from its folder."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from mitosis.errors import InternalError, JobTaken, StoreRefused, TrialNotFound, TrialRefused
from mitosis.store import schema, variants
from mitosis.store.rows import add_once, dumps, key_of, project_id, server_now, share
from mitosis.trial import JSON, Attestation, FileRecord, ModuleRecord, Outcome, Status, TrialSpec, plain

# what stands in tables of its own; the rest of the value is kept as JSON
SPEC_ELSEWHERE = ("params", "param_set", "variants", "inputs", "tags")
OUTCOME_ELSEWHERE = ("inputs", "outputs", "modules")


def insert_trial(
    connection: Connection,
    spec: TrialSpec,
    environment: Mapping[str, JSON] | None,
    redefine: Collection[str] | None,
) -> tuple[TrialSpec, int]:
    """File a trial that runs, with all that it refers to; returns it as filed and its row's number.

    Versions of variants are filled in, tags sorted. With `redefine` None nothing is refused of
    the variants. Raises VariantRedefined, StoreRefused where the id is taken, TrialRefused where
    the seed does not fit a column.
    """
    if spec.seed not in schema.SEEDS:
        what = f"the seed {spec.seed} of {spec.experiment} has more than 64 bits"
        raise TrialRefused(what, "choose a seed from -2**63 to 2**63 - 1")
    project = project_id(connection, spec.code.project)
    if spec.sweep is not None:
        begin_sweep(connection, spec.sweep, project)
    filed = variants.file(connection, project, spec.experiment, spec.variants, redefine)
    tags = tuple(sorted(set(spec.tags)))
    spec = replace(spec, variants=tuple(variant for variant, _ in filed), tags=tags)
    share(connection, schema.parameter_sets, spec.param_set.digest, spec.param_set.text)
    values = None
    if spec.params != spec.param_set.text:
        values = key_of(spec.params)
        share(connection, schema.parameter_values, values, spec.params)
    _file_environment(connection, spec.environment, environment)
    seq = _insert_row(connection, spec, project, values)
    document = plain(replace(spec, params="", variants=(), inputs=()))
    detail = {
        "trial": seq,
        "spec": dumps({key: document[key] for key in document if key not in SPEC_ELSEWHERE}),
        "environment": spec.environment,
        "declared": _file_files(connection, spec.inputs),
    }
    connection.execute(insert(schema.details), detail)
    links = [{"trial": seq, "position": at, "variant": row} for at, (_, row) in enumerate(filed)]
    if links:
        connection.execute(insert(schema.trial_variants), links)
    if tags:
        connection.execute(insert(schema.tags), [{"trial": seq, "name": tag} for tag in tags])
    return spec, seq


def _insert_row(connection: Connection, spec: TrialSpec, project: int, values: str | None) -> int:
    row = {
        "id": spec.id,
        "project": project,
        "experiment": spec.experiment,
        "variant": spec.variant,
        "param_set": spec.param_set.digest,
        "param_values": values,
        "seed": spec.seed,
        "status": Status.RUNNING.value,
        "commit": spec.code.commit,
        "branch": spec.code.branch,
        "dirty": spec.code.dirty,
        "started": schema.micros(spec.started_at),
        "sweep": spec.sweep,
        "job": spec.job,
        "folder": spec.folder,
        "note": spec.note,
        "taints": 0,
        "heartbeat": server_now(connection),
    }
    try:
        key = connection.execute(insert(schema.trials).values(row)).inserted_primary_key
    except IntegrityError as error:
        if any(name in str(error.orig) for name in ("trials.id", "uq_trials_id")):  # SQLite, PostgreSQL
            raise StoreRefused(f"the trial {spec.id} is in the store already", "start it again") from error
        raise
    assert key is not None
    return int(key[0])


def claim(connection: Connection, spec: TrialSpec, seq: int, replaces: str | None) -> None:
    """Make the trial stand for its job of its sweep; raises JobTaken where another one does.

    `replaces` is the id of a trial that is over and may be followed by this one.
    """
    if spec.sweep is None or spec.job is None:
        return
    table, trials = schema.claims, schema.trials
    if add_once(connection, table, {"sweep": spec.sweep, "job": spec.job, "trial": seq}):
        return
    job = (table.c.sweep == spec.sweep) & (table.c.job == spec.job)
    # two steps: a join under a lock would miss the row that another process has just taken over
    locked = select(table.c.trial).where(job).with_for_update()  # in SQLite the transaction is the lock
    holds = connection.execute(locked).scalar_one()
    holder = connection.execute(select(trials.c.id, trials.c.status).where(trials.c.seq == holds)).one()
    if holder.id != replaces or not Status(holder.status).final:
        raise JobTaken(
            f"job {spec.job} of the sweep {spec.sweep} is the trial {holder.id}, which is {holder.status}",
            f"see it with: mitosis show {holder.id}",
        )
    connection.execute(update(table).where(job).values(trial=seq))


def stand_in(connection: Connection, sweep: str, job: int, trial: str) -> None:
    """Let an earlier trial stand for a job; where another one does already, it goes on doing so."""
    seq = connection.execute(select(schema.trials.c.seq).where(schema.trials.c.id == trial)).scalar()
    if seq is None:
        raise TrialNotFound(f"the store has no trial {trial} that could stand for a job", "list: mitosis ls")
    add_once(connection, schema.claims, {"sweep": sweep, "job": job, "trial": seq})


def keep_claim(connection: Connection, spec: TrialSpec, seq: int) -> None:
    """As `claim`, for a trial of the past: where another one stands for the job, it goes on doing so."""
    if spec.sweep is not None and spec.job is not None:
        add_once(connection, schema.claims, {"sweep": spec.sweep, "job": spec.job, "trial": seq})


def begin_sweep(
    connection: Connection,
    sweep: str,
    project: int,
    command: str | None = None,
    size: int | None = None,
    started: int | None = None,
) -> None:
    """File a sweep; one that a trial made known is completed, one that is complete stays as it is."""
    table = schema.sweeps
    known = {"command": command, "size": size, "started": started}
    if add_once(connection, table, {"id": sweep, "project": project, **known}) or command is None:
        return
    connection.execute(update(table).where(table.c.id == sweep, table.c.command.is_(None)).values(known))


def forget_sweep(connection: Connection, sweep: str) -> bool:
    """Take out a sweep that no trial is of and no job was claimed of; False where there is one."""
    trials, claims, sweeps = schema.trials, schema.claims, schema.sweeps
    for used in (trials.c.sweep, claims.c.sweep):
        if connection.execute(select(used).where(used == sweep).limit(1)).first() is not None:
            return False
    connection.execute(sweeps.delete().where(sweeps.c.id == sweep))
    return True


def end(connection: Connection, trial: str, outcome: Outcome) -> bool:
    """Write how a running trial ended; False, and nothing is changed, where it was over already.

    Raises TrialNotFound where the store has no such trial.
    """
    if not outcome.status.final:
        raise InternalError(f"the trial {trial} cannot end as {outcome.status.value}")
    table = schema.trials
    row = connection.execute(
        select(table.c.seq, table.c.status).where(table.c.id == trial).with_for_update()
    ).first()
    if row is None:
        raise TrialNotFound(f"the store has no trial {trial} that could end", "bring it in: mitosis check")
    lost = row.status == Status.LOST.value and outcome.status is not Status.LOST
    if Status(row.status).final and not lost:  # a launcher that comes back knows what became of its trial
        return False
    # the first trial to file a list is waited for by the others: one order, so that none waits in a ring
    lists = sorted(
        [("observed", outcome.inputs), ("written", outcome.outputs)], key=lambda p: _key(p[1]) or ""
    )
    shared = {column: _file_files(connection, records) for column, records in lists}
    document = plain(replace(outcome, inputs=(), outputs=(), modules=()))
    detail = {
        "outcome": dumps({key: document[key] for key in document if key not in OUTCOME_ELSEWHERE}),
        "modules": _file_modules(connection, outcome.modules),
        **shared,
    }
    connection.execute(update(schema.details).where(schema.details.c.trial == row.seq).values(detail))
    connection.execute(update(table).where(table.c.seq == row.seq).values(_narrow(outcome)))
    measured = [
        {"trial": row.seq, "name": name, "value": comparable(value)}
        for name, value in outcome.metrics.items()
    ]
    if measured:
        connection.execute(insert(schema.metrics), measured)
    return True


def _narrow(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status.value,
        "main": comparable(outcome.main),
        "main_text": None if outcome.main is None else dumps(outcome.main),
        "seconds": comparable(outcome.seconds),
        "cpu_seconds": comparable(outcome.cpu_seconds),
        "taints": len(outcome.taints),
        "heartbeat": None,
        "code_identity": outcome.code_identity or None,
        "expectation": outcome.expectation or None,
    }


def label(
    connection: Connection, trial: str, add: Collection[str], remove: Collection[str], note: str | None
) -> tuple[tuple[str, ...], str]:
    """Change tags and, unless it is None, the note of the trial with that id; returns both as they are now.

    Raises TrialNotFound where the store has no such trial.
    """
    table, tagged = schema.trials, schema.tags
    named = select(table.c.seq, table.c.note).where(table.c.id == trial)
    row = connection.execute(named.with_for_update()).first()  # two may put the same tag at once
    if row is None:
        raise TrialNotFound(f"the store has no trial {trial} that could be tagged", "list them: mitosis ls")
    of_it = tagged.c.trial == row.seq
    before = set(connection.execute(select(tagged.c.name).where(of_it)).scalars())
    after = (before | set(add)) - set(remove)
    if gone := before - after:
        connection.execute(delete(tagged).where(of_it, tagged.c.name.in_(sorted(gone))))
    if new := after - before:
        connection.execute(insert(tagged), [{"trial": row.seq, "name": name} for name in sorted(new)])
    if note is not None:
        connection.execute(update(table).where(table.c.seq == row.seq).values(note=note))
    return tuple(sorted(after)), row.note if note is None else note


def attest(connection: Connection, trial: str, found: Attestation, made: int | None = None) -> None:
    """Add an attestation to the trial with that id, at the present time of the store.

    `made` is the time, microseconds since 1970, of one that was made before. Raises TrialNotFound
    where the store has no such trial.
    """
    seq = connection.execute(select(schema.trials.c.seq).where(schema.trials.c.id == trial)).scalar()
    if seq is None:
        raise TrialNotFound(f"the store has no trial {trial} that could be attested", "list them: mitosis ls")
    row = {
        "trial": seq,
        "kind": found.kind,
        "verdict": found.verdict,
        "made": server_now(connection) if made is None else made,
        "host": found.host,
        "content": dumps(found.content),
    }
    connection.execute(insert(schema.attestations), row)


def comparable(value: JSON) -> float | None:
    """`value` as a number that sorts; None for nan and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an int beyond the floats
        return math.inf if value > 0 else -math.inf
    return None if math.isnan(number) else number


def _file_environment(connection: Connection, digest: str, content: Mapping[str, JSON] | None) -> None:
    table = schema.environments
    present = connection.execute(
        select(table.c.content.is_not(None)).where(table.c.digest == digest)
    ).scalar()
    text = None if content is None else dumps(content)
    if present is None:
        add_once(connection, table, {"digest": digest, "content": text})
    elif not present and text is not None:
        connection.execute(update(table).where(table.c.digest == digest).values(content=text))


def _content(records: Sequence[FileRecord]) -> str:
    return dumps([[r.path, r.digest, r.size, r.kind] for r in records])


def _key(records: Sequence[FileRecord]) -> str | None:
    return key_of(_content(records)) if records else None


def _file_files(connection: Connection, records: Sequence[FileRecord]) -> str | None:
    """The key of the list `records`, filed where it is new; None for an empty one."""
    digest = _key(records)
    if digest is None:
        return None
    present = select(schema.file_sets.c.digest).where(schema.file_sets.c.digest == digest)
    if connection.execute(present).first() is None and add_once(
        connection, schema.file_sets, {"digest": digest}
    ):
        rows = [{"file_set": digest, "position": at, **plain(record)} for at, record in enumerate(records)]
        connection.execute(insert(schema.files), rows)
    return digest


def _file_modules(connection: Connection, records: Sequence[ModuleRecord]) -> str | None:
    if not records:
        return None
    text = dumps([plain(record) for record in records])
    digest = key_of(text)
    share(connection, schema.module_sets, digest, text, column="content")
    return digest
