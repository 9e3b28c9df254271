"""The shortest beginnings by which ids and digests can be named: unique in the store, never under seven."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Connection, or_, select

from mitosis import telling
from mitosis.store import schema
from mitosis.store.load import is_hex, prefix

_AT_ONCE = 100  # ranges of one statement; each is answered by the index
_ALL = 2_000  # digests, beyond which the whole index is read instead

COLUMNS: dict[str, ColumnElement[str]] = {
    "id": schema.trials.c.id,
    "sweep": schema.sweeps.c.id,
    "commit": schema.trials.c.commit,
    "param_set": schema.parameter_sets.c.digest,
    "environment": schema.environments.c.digest,
}
"""What can be shortened, and the column with an index in which a shorter name must be unique."""


def shortest(connection: Connection, kind: str, digests: Collection[str]) -> dict[str, str]:
    """By digest, its shortest beginning that begins no other one; by a query for each hundred.

    `kind` is a key of `COLUMNS`; what is no text of hex digits stays as it is.
    """
    wanted = sorted({d for d in digests if d and is_hex(d)})
    short = telling.shortest({*_alike(connection, kind, wanted), *wanted})
    return {digest: short.get(digest, digest) for digest in digests}


def _alike(connection: Connection, kind: str, digests: list[str]) -> Iterable[str]:
    """Every digest of that kind that begins as one of `digests`, and perhaps more."""
    column = COLUMNS[kind]
    if len(digests) > _ALL:
        yield from connection.execute(select(column).distinct()).scalars()
        return
    beginnings = sorted({digest[: telling.LEAST] for digest in digests})
    for start in range(0, len(beginnings), _AT_ONCE):
        some = beginnings[start : start + _AT_ONCE]
        yield from connection.execute(select(column).distinct().where(or_(*_ranges(column, some)))).scalars()


def _ranges(column: ColumnElement[str], beginnings: list[str]) -> Iterable[ColumnElement[bool]]:
    for beginning in beginnings:
        within: ColumnElement[bool] = prefix(column, beginning)
        if column is schema.trials.c.commit:  # the index of commits begins with the project
            within &= schema.trials.c.project.in_(select(schema.projects.c.id))
        yield within
