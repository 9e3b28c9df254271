"""The cache of digests of input files, so that a file is read again only when it has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from sqlalchemy import Connection, CursorResult, select

from mitosis.store import schema
from mitosis.store.rows import put_plain

Key: TypeAlias = tuple[int, int, int, int, int]
"""A state of a file: device, inode, size in bytes, mtime_ns, ctime_ns."""

_AT_ONCE = 500  # parameters of one statement
_DENSE = 4  # files known in a range of inodes to one that is wanted, up to which all of them are read
_PENDING = 10_000  # digests that are not written yet
_LARGE = 16 * 2**20  # bytes; the digest of a larger file is written at once
_TICK_NS = 50_000_000  # a kernel's clock for files moves in steps of up to 10 ms
_COARSE_NS = 2_000_000_000  # and some file systems keep whole seconds, or pairs of them
_SIGNED = 2**63


class DigestCache:
    """Digests of file contents by the state of the file; made by `Store.digests`.

    What is put is written in batches, at the latest by `flush`; a digest that is lost with the
    process only means that its file is read once more.
    """

    def __init__(self, transaction: Callable[[bool], AbstractContextManager[Connection]], host: str) -> None:
        self._transaction = transaction
        self._host = host
        self._pending: dict[Key, str] = {}

    def get(self, key: Key) -> str | None:
        """The digest of the file in that state; None where it is not known."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[Key]) -> dict[Key, str]:
        """The digests that are known of `keys`, and maybe of others, in one transaction.

        For thousands of files much faster than `get`.
        """
        wanted = list(keys)
        found = dict(self._pending)
        inodes: dict[int, set[int]] = {}  # by device
        for key in wanted:
            if not found or key not in found:
                device, inode = key[:2] if key[0] < _SIGNED > key[1] else _stored(key)[:2]
                inodes.setdefault(device, set()).add(inode)
        if not inodes:
            return found
        with self._transaction(False) as connection:
            for device, numbers in inodes.items():
                for rows in self._rows(connection, device, sorted(numbers)):
                    found |= {row[:5]: row[5] for row in rows}
        for key in wanted:
            if key[0] >= _SIGNED or key[1] >= _SIGNED:
                digest = found.get(_stored(key))
                if digest is not None:
                    found[key] = digest
        return found

    def _rows(self, connection: Connection, device: int, inodes: list[int]) -> Iterator[list[Any]]:
        """Rows (key as it is stored, digest), at least those that are known of `inodes`, which are sorted."""
        table = schema.digest_cache
        question = select(*list(table.c)[1:]).where(table.c.host == self._host, table.c.device == device)
        if len(inodes) > _AT_ONCE:  # one range, unless it holds many more files than are wanted
            most = _DENSE * len(inodes)
            between = question.where(table.c.inode.between(inodes[0], inodes[-1])).limit(most + 1)
            rows = _plain(connection.execute(between))
            if len(rows) <= most:
                yield rows
                return
        for start in range(0, len(inodes), _AT_ONCE):
            named = table.c.inode.in_(inodes[start : start + _AT_ONCE])
            yield _plain(connection.execute(question.where(named)))

    def put(self, key: Key, digest: str) -> None:
        """Remember `digest` for that state of the file.

        A file that was changed a moment ago is not remembered: it could change again without a
        change of its times, which move in steps.
        """
        _, _, size, mtime, ctime = key
        coarse = mtime % 1_000_000_000 == 0 and ctime % 1_000_000_000 == 0
        if time.time_ns() - max(mtime, ctime) < (_COARSE_NS if coarse else _TICK_NS):
            return
        self._pending[key] = digest
        if size >= _LARGE or len(self._pending) >= _PENDING:
            self.flush()

    def flush(self) -> None:
        """Write what was put and is not written yet."""
        if not self._pending:
            return
        states = {_stored(key): digest for key, digest in self._pending.items()}
        # two states of one file are one row: the later one; in one order, so that no two
        # processes wait for each other
        latest = {state[:2]: (state, digest) for state, digest in states.items()}
        rows = [(self._host, *state, digest) for _, (state, digest) in sorted(latest.items())]
        with self._transaction(True) as connection:
            put_plain(connection, schema.digest_cache, rows)
        self._pending.clear()


def _plain(result: CursorResult[Any]) -> list[Any]:
    """The rows as the database's driver gives them, tuples: there are ten thousands, of numbers and texts."""
    rows = list(result.cursor.fetchall())
    result.close()
    return rows


def _stored(key: Key) -> Key:
    """The key as signed numbers of 64 bits: some file systems number beyond them."""
    device, inode, size, mtime, ctime = ((part + _SIGNED) % 2**64 - _SIGNED for part in key)
    return device, inode, size, mtime, ctime
