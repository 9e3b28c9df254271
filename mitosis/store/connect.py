"""Engines, transactions, and the one place where a database's complaint becomes a message for the user."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from mitosis.errors import StoreAway, StoreRefused
from mitosis.store import place
from mitosis.store.address import Address

BUSY_SECONDS = 60.0
TOLD_SECONDS = 10.0  # of waiting, until the user is told for whom
IDLE_SECONDS = 1.0  # between two questions that share a connection
SCHEMA_NAME = "mitosis"
"""PostgreSQL keeps the tables in a schema of this name, apart from others in the same database."""

_WRITES, _FILE = "mitosis_writes", "mitosis_file"


def make_engine(address: Address, create: bool = False, foreign_keys: bool = True) -> Engine:
    """The engine of this process that opens a connection for each transaction and keeps none.

    So nothing is shared by a fork, and a server that was restarted is simply connected to again; what
    is kept for the next store of the same address are the statements that it has compiled.
    The SQLite file must exist unless `create`.
    """
    return _engine(address, create, foreign_keys, os.getpid())


@lru_cache(maxsize=8)
def _engine(address: Address, create: bool, foreign_keys: bool, _process: int) -> Engine:
    if address.path is None:
        return _postgresql(address)
    path = address.path

    def connect() -> sqlite3.Connection:
        connection = _open(path, "rwc" if create else "rw")
        connection.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")
        # with the WAL a crash of the machine can lose the last rows but damages nothing, and
        # the folders of the trials hold what those rows said
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return engine


def _open(path: Path, mode: str) -> sqlite3.Connection:
    # isolation_level None: sqlite3 begins no transaction by itself, `_begin` does
    file = f"file:{quote(bytes(path))}?mode={mode}"
    return sqlite3.connect(
        file, uri=True, timeout=TOLD_SECONDS, isolation_level=None, check_same_thread=False
    )


class Presence:
    """A connection to a SQLite file that only is there, so that no transaction's connection is the last.

    The last one to leave moves the write-ahead log into the file, waits twice for the disk and
    deletes two files: more than half of what filing a trial costs. SQLite forbids a connection to
    cross a fork (https://www.sqlite.org/howtocorrupt.html, 2.6), so it is closed before any.
    """

    _all: ClassVar[weakref.WeakSet[Presence]] = weakref.WeakSet()
    _watching: ClassVar[bool] = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def ensure(self) -> None:
        """Be there; a file that cannot be opened is left to the transaction, which says why."""
        if self._connection is not None:
            return
        _watch_forks()
        with suppress(sqlite3.Error):
            self._connection = _open(self._path, "rw")
            Presence._all.add(self)
            self._connection.execute("PRAGMA schema_version").fetchone()  # only who has read is there

    def close(self) -> None:
        """Leave; `ensure` comes back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()


class Held:
    """One connection for what a thread asks one after the other; closed before a fork, and after an error."""

    _all: ClassVar[weakref.WeakSet[Held]] = weakref.WeakSet()

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._connection: Connection | None = None
        self._used = 0.0

    def free(self) -> bool:
        """May this thread begin a transaction on it now."""
        return self._thread == threading.get_ident() and not self.busy()

    def busy(self) -> bool:
        """Is a transaction under way."""
        return self._connection is not None and self._connection.in_transaction()

    @contextmanager
    def connection(self, engine: Engine) -> Iterator[Connection]:
        """The connection, made where there is none or where it has lain idle: a server may have cut it off.

        Input files may be digested between two questions, for minutes.
        """
        if time.monotonic() - self._used > IDLE_SECONDS:
            with suppress(DatabaseError):
                self.close()
        if self._connection is None:
            _watch_forks()
            Held._all.add(self)
            self._connection = engine.connect()
        try:
            yield self._connection
        except DatabaseError:
            with suppress(DatabaseError):
                self.close()
            raise
        finally:
            self._used = time.monotonic()

    def close(self) -> None:
        """Let go of it; the next transaction makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _watch_forks() -> None:
    if not Presence._watching:
        Presence._watching = True
        os.register_at_fork(before=_leave_before_fork)


def _leave_before_fork() -> None:
    for presence in list(Presence._all):
        presence.close()
    for held in list(Held._all):
        if not held.busy():  # of another thread, in the middle of it: the child has no business with it
            held.close()


def _postgresql(address: Address) -> Engine:
    try:
        engine = create_engine(address.url, poolclass=NullPool)
    except ImportError as error:
        what = f"the store {address.shown} needs psycopg, which cannot be imported ({error})"
        raise StoreRefused(what, "install it: pip install 'mitosis[postgres]'") from error
    event.listen(engine, "connect", _choose_schema)
    return engine


def _choose_schema(connection: Any, _record: object) -> None:
    """Outside a transaction, or the first rollback would take it back."""
    connection.autocommit = True
    connection.execute(f"SET search_path TO {SCHEMA_NAME}")
    connection.autocommit = False


def _begin(connection: Connection) -> None:
    """A transaction that will write asks for the lock at once: one that asks later can only fail."""
    writes = connection.get_execution_options().get(_WRITES)
    if not writes:
        connection.exec_driver_sql("BEGIN")
        return
    path = connection.get_execution_options().get(_FILE)
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        if "locked" not in str(error.orig) or path is None:
            raise
        who = place.holder(path) or "another process"
        left = BUSY_SECONDS - TOLD_SECONDS
        # the logger's own way to stderr where nobody has set one up
        logging.getLogger("mitosis").warning(
            "the store %s is locked by %s; waiting %.0f s more", path, who, left
        )
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(left * 1000)}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(TOLD_SECONDS * 1000)}")


@contextmanager
def transaction(
    engine: Engine, address: Address, write: bool = False, held: Held | None = None
) -> Iterator[Connection]:
    """A connection inside one transaction: committed at the end, rolled back when an error passes.

    It is the one that is `held` where that is free, else one for this transaction alone.
    Raises StoreRefused for whatever the database itself complains of; a violated constraint passes
    as it is.
    """
    try:
        options = {_WRITES: write, _FILE: address.path}
        if held is not None and held.free():
            with held.connection(engine) as shared, shared.execution_options(**options).begin():
                yield shared
            return
        with engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection
    except IntegrityError:
        raise
    except DatabaseError as error:
        raise refusal(address, error) from error


def refusal(address: Address, error: DatabaseError) -> StoreRefused:
    """What the user reads where the database said `error`."""
    said = " ".join(str(error.orig).split())
    if address.path is None:
        state = getattr(error.orig, "sqlstate", None)
        return (StoreAway if _away(said, state) else StoreRefused)(*_server(address, said, state))
    return StoreRefused(*_sqlite(address.path, said))


def _away(said: str, state: str | None) -> bool:
    """Is the server out of reach, starting or stopping; not where it answered and turned us away."""
    if state is not None:
        return state[:2] == "08" or state in ("57P01", "57P02", "57P03", "57P05")
    # libpq gives no state for what happens while it connects, only words
    answered = "FATAL" in said or "fe_sendauth" in said
    return "the database system is" in said or not answered


def _server(address: Address, said: str, state: str | None) -> tuple[str, str]:
    """What happened, and what to do, by the SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
    if state == "42501":
        return f"the store {address.shown} does not let you: {said}", "ask its owner for the privileges"
    if state in ("42P01", "42703"):
        return f"the store {address.shown} lacks what it should hold: {said}", _damaged(None)
    todo = "check that the server runs and lets you in (password: PGPASSWORD or ~/.pgpass)"
    return f"the store {address.shown} cannot be used: {said}", todo


def _sqlite(path: Path, said: str) -> tuple[str, str]:
    """What happened, and what to do, by SQLite's own words (https://www.sqlite.org/rescode.html)."""
    who = "another process"
    if "locked" in said:
        who = place.holder(path) or who
    known = {
        "database is locked": (
            f"the store {path} was kept locked for {BUSY_SECONDS:.0f} s by {who}",
            "wait until that process ends, or end it",
        ),
        "locking protocol": (
            f"the file system of the store {path} does not lock files as SQLite needs",
            "keep the store on a local disk, or share a PostgreSQL: mitosis.store=postgresql+psycopg://...",
        ),
        "readonly database": (
            f"the store {path} cannot be written",
            "check the permissions of the file and of its directory",
        ),
        "unable to open database file": (
            f"the store {path} cannot be opened",
            "check that it is still there, and the permissions of the file and of its directory",
        ),
        "disk is full": (f"no space is left for the store {path}", "make room on the disk and try again"),
        "disk i/o error": (
            f"the store {path} cannot be written: the disk failed, or a quota is used up",
            "check the disk, its space and your quota",
        ),
        "not a database": (f"{path} is no SQLite database", "give the store another path"),
        "malformed": (f"the store {path} is damaged", _damaged(path)),
        "no such": (f"the store {path} lacks what it should hold: {said}", _damaged(path)),
    }
    for words, answer in known.items():
        if words in said.lower():
            return answer
    return f"the store {path} cannot be used: {said}", "check the file, its directory and the disk"


def _damaged(path: Path | None) -> str:
    place = "put the file aside, then make" if path else "make"
    return f"{place} a new store from the folders of the trials: mitosis check --rebuild"
