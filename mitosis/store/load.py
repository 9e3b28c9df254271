"""Reads whole trials: their rows become the frozen values that went in."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, select

from mitosis.errors import TrialNotFound
from mitosis.store import schema
from mitosis.trial import (
    Attestation,
    FileRecord,
    ModuleRecord,
    Outcome,
    Trial,
    TrialSpec,
    Variant,
    from_plain,
)

_AT_ONCE = 500  # trials whose texts are held at one time, and parameters of one statement
_NEAR = 3
_NAMED = 10


def trials(connection: Connection, seqs: Sequence[int]) -> list[Trial]:
    """The trials in the rows `seqs`, in that order; a constant number of queries for every 500."""
    found: list[Trial] = []
    for start in range(0, len(seqs), _AT_ONCE):
        found += _batch(connection, seqs[start : start + _AT_ONCE])
    return found


def _batch(connection: Connection, seqs: Sequence[int]) -> list[Trial]:
    table, details, sets, values = (
        schema.trials,
        schema.details,
        schema.parameter_sets,
        schema.parameter_values,
    )
    question = (
        select(details, table.c.param_set, table.c.note, sets.c.text, values.c.text.label("values_text"))
        .join(table, table.c.seq == details.c.trial)
        .join(sets, sets.c.digest == table.c.param_set)
        .outerjoin(values, values.c.digest == table.c.param_values)
        .where(details.c.trial.in_(seqs))
    )
    rows = {row.trial: row for row in connection.execute(question)}
    variants = _variants(connection, seqs)
    tags = _tags(connection, seqs)
    lists = _files(
        connection, {r for row in rows.values() for r in (row.declared, row.observed, row.written)}
    )
    modules = _modules(connection, {row.modules for row in rows.values()})
    return [_trial(rows[s], variants[s], tags[s], lists, modules) for s in seqs if s in rows]


def _trial(
    row: Row[Any],
    variants: list[Variant],
    tags: list[str],
    lists: dict[str | None, tuple[FileRecord, ...]],
    modules: dict[str | None, list[Any]],
) -> Trial:
    document = json.loads(row.spec)
    document |= {
        "params": row.text if row.values_text is None else row.values_text,
        "param_set": {"digest": row.param_set, "text": row.text},
        "variants": [],
        "tags": tags,
        "note": row.note,  # it may have changed since the launch
    }
    # lists of thousands of files are not taken through JSON and back
    spec = replace(
        from_plain(TrialSpec, document), variants=tuple(variants), inputs=lists.get(row.declared, ())
    )
    if row.outcome is None:
        return Trial(spec)
    outcome = replace(
        from_plain(Outcome, json.loads(row.outcome)),
        inputs=lists.get(row.observed, ()),
        outputs=lists.get(row.written, ()),
        modules=tuple(from_plain(ModuleRecord, m) for m in modules.get(row.modules, [])),
    )
    return Trial(spec, outcome)


def _variants(connection: Connection, seqs: Sequence[int]) -> dict[int, list[Variant]]:
    links, table = schema.trial_variants, schema.variants
    question = (
        select(links.c.trial, table)
        .join(table, table.c.id == links.c.variant)
        .where(links.c.trial.in_(seqs))
        .order_by(links.c.trial, links.c.position)
    )
    found: dict[int, list[Variant]] = defaultdict(list)
    for row in connection.execute(question):
        found[row.trial].append(Variant(row.group, row.option, row.digest, row.text, row.version))
    return found


def _tags(connection: Connection, seqs: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for row in connection.execute(select(schema.tags).where(schema.tags.c.trial.in_(seqs))):
        found[row.trial].append(row.name)
    return defaultdict(list, {trial: sorted(names) for trial, names in found.items()})


def _files(connection: Connection, keys: Iterable[str | None]) -> dict[str | None, tuple[FileRecord, ...]]:
    table, wanted = schema.files, sorted(key for key in keys if key is not None)
    found: dict[str | None, list[FileRecord]] = defaultdict(list)
    for start in range(0, len(wanted), _AT_ONCE):
        some = table.c.file_set.in_(wanted[start : start + _AT_ONCE])
        question = select(table).where(some).order_by(table.c.file_set, table.c.position)
        for row in connection.execute(question):
            found[row.file_set].append(FileRecord(row.path, row.digest, row.size, row.kind))
    return {key: tuple(records) for key, records in found.items()}


def writers(connection: Connection, paths: Iterable[str], project: str) -> dict[str, str]:
    """For each of `paths` that is an output of a trial of the project: the id of the latest such trial."""
    files, details, trials = schema.files, schema.details, schema.trials
    question = (
        select(files.c.path, trials.c.id)
        .join(details, details.c.written == files.c.file_set)
        .join(trials, trials.c.seq == details.c.trial)
        .where(files.c.path.in_(sorted(paths)), trials.c.project == project_of(project))
        .order_by(trials.c.seq)
    )
    return {row.path: row.id for row in connection.execute(question)}


def _modules(connection: Connection, keys: Iterable[str | None]) -> dict[str | None, list[Any]]:
    wanted = [key for key in keys if key is not None]
    if not wanted:
        return {}
    table = schema.module_sets
    question = select(table).where(table.c.digest.in_(wanted))
    return {row.digest: json.loads(row.content) for row in connection.execute(question)}


def named(connection: Connection, name: str, project: str | None) -> int:
    """The row of the trial that `name` means: a unique prefix of its id, or @1 for the latest, @2 ...

    `@` counts within `project` where one is given; ids are unique over all projects. Raises
    TrialNotFound with those that it could be.
    """
    if name.startswith("@"):
        return _latest(connection, name, project)
    table, wanted = schema.trials, name.strip().lower()
    if not wanted:
        raise TrialNotFound(
            "no trial is named", "name it by the first digits of its id, or @1 for the latest"
        )
    if not is_hex(wanted):
        raise TrialNotFound(f"{name!r} is no id of a trial: those are hex digits", "list them: mitosis ls")
    columns = (table.c.seq, table.c.id, table.c.experiment, table.c.variant, table.c.seed, table.c.status)
    question = select(*columns).where(prefix(table.c.id, wanted)).order_by(table.c.id).limit(_NAMED + 1)
    found = connection.execute(question).all()
    if len(found) == 1:
        return int(found[0].seq)
    if found:
        lines = [f"{r.id} ({r.experiment} {r.variant} seed={r.seed}, {r.status})" for r in found[:_NAMED]]
        more = ", ..." if len(found) > _NAMED else ""
        what = f"{name} is the beginning of more than one id: {', '.join(lines)}{more}"
        raise TrialNotFound(what, "give more digits of the one you mean")
    near = _near(connection, wanted)
    nearest = f"nearest: {', '.join(near)}; " if near else ""
    raise TrialNotFound(f"no trial has an id that begins with {name!r}", f"{nearest}list them: mitosis ls")


def is_hex(text: str) -> bool:
    """Whether `text` is made of lower-case hex digits alone."""
    return set(text) <= set("0123456789abcdef")


def prefix(column: Any, digits: str) -> Any:
    """Whether hex digits begin with `digits`, as a range, which an index answers ("g" follows "f")."""
    return (column >= digits) & (column < digits + "g")


def _latest(connection: Connection, name: str, project: str | None) -> int:
    table = schema.trials
    number = name[1:]
    if not (number.isascii() and number.isdigit()) or not 0 < int(number) < 2**31:
        raise TrialNotFound(f"{name} is no trial", "write @1 for the latest, @2 for the one before")
    question = select(table.c.seq).order_by(table.c.started.desc(), table.c.seq.desc())
    question = question.where(table.c.removed.is_(None))
    if project is not None:
        question = question.where(table.c.project == project_of(project))
    seq = connection.execute(question.offset(int(number) - 1).limit(1)).scalar()
    if seq is None:
        where = "" if project is None else " of this project"
        raise TrialNotFound(f"there is no {name}: the store has fewer trials{where}", "list them: mitosis ls")
    return int(seq)


def project_of(name: str) -> Any:
    """The number of the project called `name`, inside a larger question."""
    table = schema.projects
    return select(table.c.id).where(table.c.name == name).scalar_subquery()


def _near(connection: Connection, wanted: str) -> list[str]:
    """A few ids that share the most first digits with `wanted`: its neighbours in the index."""
    column = schema.trials.c.id
    after = connection.execute(select(column).where(column >= wanted).order_by(column).limit(_NEAR)).scalars()
    before = connection.execute(
        select(column).where(column < wanted).order_by(column.desc()).limit(_NEAR)
    ).scalars()

    def shared(other: str) -> int:
        return next((i for i, (a, b) in enumerate(zip(other, wanted, strict=False)) if a != b), len(wanted))

    near = sorted([*before, *after], key=lambda other: (-shared(other), other))
    return [other for other in near if shared(other) > 0][:_NEAR]


def attestations(connection: Connection, trial: str) -> list[Attestation]:
    """What was found out about the trial with that id after it had ended, oldest first."""
    table, trials = schema.attestations, schema.trials
    question = (
        select(table)
        .join(trials, trials.c.seq == table.c.trial)
        .where(trials.c.id == trial)
        .order_by(table.c.id)
    )
    return [
        Attestation(row.kind, row.verdict, schema.iso(row.made), row.host, json.loads(row.content))
        for row in connection.execute(question)
    ]


def environment(connection: Connection, digest: str) -> dict[str, Any] | None:
    """The content of the environment under `digest`; None where it is not known."""
    question = select(schema.environments.c.content).where(schema.environments.c.digest == digest)
    content = connection.execute(question).scalar()
    return None if content is None else dict(json.loads(content))
