"""Inserts that many processes may try at once: the first one files the row, the others find it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, func, select

from mitosis.errors import InternalError
from mitosis.store import schema
from mitosis.trial import JSON

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

Row = Mapping[str, Any]


def server_now(connection: Connection) -> int:
    """Microseconds since 1970 by the clock of the store: the server's, or this machine's for a file."""
    if connection.dialect.name == "postgresql":
        return round(
            connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one() * 10**6
        )
    return time_ns() // 1000


def dumps(value: JSON) -> str:
    """JSON that any database holds: ASCII, NaN and the infinities as Python writes them."""
    return json.dumps(value, separators=(",", ":"))


def key_of(text: str) -> str:
    """The key under which a shared text is kept: SHA-256, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """The INSERT of this database, which knows ON CONFLICT; the other's dialect is not even imported."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def add_once(connection: Connection, table: Table, row: Row) -> bool:
    """Insert `row` unless one with its key is there; returns whether it was inserted.

    Waits for a transaction that has inserted the same key and is not over yet. The table's key
    must be given in the row.
    """
    statement = _insert_into(connection, table).on_conflict_do_nothing()
    done = connection.execute(statement, row, execution_options={"preserve_rowcount": True})
    return done.rowcount == 1


def put_plain(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert `rows`, each in the place of the one that has its primary key.

    For thousands: their values, in the table's order, go to the driver as they are.
    """
    statement = _insert_into(connection, table)
    keys = [column.name for column in table.primary_key]
    changed = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    columns = [column.name for column in table.c]
    compiled = statement.on_conflict_do_update(index_elements=keys, set_=changed).compile(
        dialect=connection.dialect, column_keys=columns
    )
    given: Sequence[Any] = rows
    if compiled.positiontup is None:
        given = [dict(zip(columns, row, strict=True)) for row in rows]
    elif compiled.positiontup != columns:
        order = [columns.index(name) for name in compiled.positiontup]
        given = [tuple(row[place] for place in order) for row in rows]
    connection.exec_driver_sql(str(compiled), given)


def share(connection: Connection, table: Table, digest: str, text: str, column: str = "text") -> None:
    """File `text` under `digest` in a table of shared texts; the look first spares sending it again."""
    present = select(table.c[column]).where(table.c.digest == digest)
    if connection.execute(present).first() is None:
        add_once(connection, table, {"digest": digest, column: text})


def project_id(connection: Connection, name: str) -> int:
    """The number of the project called `name`, filed where it is new."""
    wanted = select(schema.projects.c.id).where(schema.projects.c.name == name)
    for _ in range(2):
        found = connection.execute(wanted).scalar()
        if found is not None:
            return int(found)
        add_once(connection, schema.projects, {"name": name})
    raise InternalError(f"the project {name} could not be filed")
