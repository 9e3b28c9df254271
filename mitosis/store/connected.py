"""The connections of a store: one for each transaction, or for several in a row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from mitosis.store import setup
from mitosis.store.address import Address
from mitosis.store.connect import Held, Presence, make_engine, transaction


class Connected:
    """The part of `store.Store` that reaches the database; it may be pickled and survives a fork."""

    def __init__(self, address: Address) -> None:
        """Nothing is reached, and nothing checked, before the first transaction."""
        self._address = address
        self._engine: Engine | None = None
        self._process = 0
        self._held: Held | None = None
        self._presence = Presence(address.path) if address.path is not None else None

    def _own_engine(self) -> Engine:
        """The engine of this process: a child never uses its parent's."""
        if self._engine is None or self._process != os.getpid():
            self._engine, self._process = make_engine(self._address), os.getpid()
        return self._engine

    @contextmanager
    def burst(self) -> Iterator[None]:
        """Meanwhile the transactions of this thread share one connection: it is for questions in a row.

        It is not for while a trial runs, which may take days: a server has few connections to give.
        """
        if self._held is not None:
            yield
            return
        self._held = Held()
        try:
            yield
        finally:
            held, self._held = self._held, None
            with suppress(DatabaseError):
                held.close()

    @contextmanager
    def _transaction(self, write: bool = False) -> Iterator[Connection]:
        if write and self._presence is not None:
            self._presence.ensure()
        with transaction(self._own_engine(), self._address, write, self._held) as connection:
            if write:
                setup.check_current(connection, self._address)
            yield connection

    def _leave(self) -> None:
        """Let go of the database; the next transaction comes back."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        if self._presence is not None:
            self._presence.close()
