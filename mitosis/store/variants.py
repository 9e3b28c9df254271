"""The lock of a variant's name to its content: checked, filed under versions, and told again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from mitosis.errors import InternalError, VariantRedefined
from mitosis.store import schema
from mitosis.store.rows import add_once, server_now
from mitosis.store.values import VariantUse
from mitosis.trial import Variant

_TRIES = 100  # each one lost means that another process filed a version meanwhile
_SHOWN = 5  # differences in a message


def check(
    connection: Connection,
    project: str,
    experiment: str,
    variants: Sequence[Variant],
    redefine: Collection[str],
) -> tuple[Variant, ...]:
    """`variants` with the versions they have or would get; files nothing.

    Any content that was filed under the name keeps its version, so that an older commit can be run
    again. Raises VariantRedefined, naming every one whose content is new and not in `redefine`.
    """
    known = [(v, _versions(connection, _of(v, project, experiment))) for v in variants]
    refused = [
        (variant, filed[-1])
        for variant, filed in known
        if filed and variant.name not in redefine and all(row.digest != variant.digest for row in filed)
    ]
    if refused:
        raise _redefined(experiment, refused)
    return tuple(replace(variant, version=_version(variant, filed)) for variant, filed in known)


def is_filed(connection: Connection, project: str, experiment: str, variant: Variant) -> bool:
    """Whether that very content stands under the name already."""
    rows = _versions(connection, _of(variant, project, experiment))
    return any(row.digest == variant.digest for row in rows)


def file(
    connection: Connection,
    project: int,
    experiment: str,
    variants: Sequence[Variant],
    redefine: Collection[str] | None,
) -> list[tuple[Variant, int]]:
    """File what is new; returns each variant with its version and the number of its row.

    Raises VariantRedefined as `check` does; here the lock is closed, whoever checked before. With
    `redefine` None nothing is refused: a trial of the past is brought in with what it used.
    """
    now = server_now(connection)
    # one order for all, so that two transactions never wait for each other
    order = sorted(range(len(variants)), key=lambda index: variants[index].name)
    filed = {index: _file(connection, project, experiment, variants[index], redefine, now) for index in order}
    return [filed[index] for index in range(len(variants))]


def _file(
    connection: Connection,
    project: int,
    experiment: str,
    variant: Variant,
    redefine: Collection[str] | None,
    now: int,
) -> tuple[Variant, int]:
    table = schema.variants
    names = {
        "project": project,
        "experiment": experiment,
        "group": variant.group,
        "option": variant.option,
    }
    known = select(table).order_by(table.c.version)
    for column, value in names.items():
        known = known.where(table.c[column] == value)
    for _ in range(_TRIES):
        rows = connection.execute(known).all()
        for row in rows:
            if row.digest == variant.digest:
                return replace(variant, version=row.version), row.id
        if rows and redefine is not None and variant.name not in redefine:
            raise _redefined(experiment, [(variant, rows[-1])])
        # a version that is free is kept: a store made anew from folders says what they say
        taken = {row.version for row in rows}
        version = variant.version if variant.version not in taken else max(taken) + 1
        content = {"version": version, "digest": variant.digest, "text": variant.text, "filed": now}
        add_once(connection, table, {**names, **content})
    raise InternalError(f"the variant {variant.name} of {experiment} could not be filed")


def _of(variant: Variant, project: str, experiment: str) -> Select[Any]:
    table = schema.variants
    return select(table).where(
        table.c.project
        == select(schema.projects.c.id).where(schema.projects.c.name == project).scalar_subquery(),
        table.c.experiment == experiment,
        table.c.group == variant.group,
        table.c.option == variant.option,
    )


def _versions(connection: Connection, question: Select[Any]) -> Sequence[Row[Any]]:
    return connection.execute(question.order_by(schema.variants.c.version)).all()


def _version(variant: Variant, filed: Sequence[Row[Any]]) -> int:
    for row in filed:
        if row.digest == variant.digest:
            return int(row.version)
    return int(filed[-1].version) + 1 if filed else 1


def _redefined(experiment: str, refused: Sequence[tuple[Variant, Row[Any]]]) -> VariantRedefined:
    what = "; ".join(
        f"{variant.name} of {experiment} is locked to other content (version {row.version}): "
        + _difference(row.text, variant.text)
        for variant, row in refused
    )
    names = ",".join(variant.name for variant, _ in refused)
    number = "the next version" if len(refused) > 1 else f"version {refused[0][1].version + 1}"
    return VariantRedefined(
        f"variant {what}",
        f"give the new content a new name, or file it as {number}: 'mitosis.redefine=[{names}]'",
    )


def _difference(old: str, new: str) -> str:
    from mitosis.identity import MISSING, differences, shown

    def side(value: Any) -> str:
        return "(absent)" if value is MISSING else shown(value)

    found = differences(old, new)
    parts = [
        f"{key or 'all of it'}: {side(before)} -> {side(after)}" for key, before, after in found[:_SHOWN]
    ]
    if len(found) > _SHOWN:
        parts.append(f"and {len(found) - _SHOWN} more")
    return ", ".join(parts)


def history(connection: Connection, project: str | None) -> list[VariantUse]:
    """Every version of every variant, by experiment, name and version, with its uses."""
    table, links, trials, projects = schema.variants, schema.trial_variants, schema.trials, schema.projects
    question = (
        select(
            table,
            projects.c.name.label("project_name"),
            func.count(trials.c.seq).label("uses"),
            func.min(trials.c.started).label("first_used"),
            func.max(trials.c.started).label("last_used"),
        )
        .join(projects, projects.c.id == table.c.project)
        .outerjoin(links, links.c.variant == table.c.id)
        .outerjoin(trials, trials.c.seq == links.c.trial)
        .group_by(*table.c, projects.c.name)
        .order_by(projects.c.name, table.c.experiment, table.c.group, table.c.option, table.c.version)
    )
    if project is not None:
        question = question.where(projects.c.name == project)
    return [
        VariantUse(
            project=row.project_name,
            experiment=row.experiment,
            variant=Variant(row.group, row.option, row.digest, row.text, row.version),
            filed_at=schema.iso(row.filed),
            first_used_at=None if row.first_used is None else schema.iso(row.first_used),
            last_used_at=None if row.last_used is None else schema.iso(row.last_used),
            trials=row.uses,
        )
        for row in connection.execute(question)
    ]
