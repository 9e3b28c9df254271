"""The questions of a burst share one connection, which outlives neither an error nor a pause."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, text

from mitosis.errors import StoreRefused
from mitosis.store import Query, Store, connect


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.db") as opened:
        yield opened


@pytest.fixture
def connections(store: Store) -> list[object]:
    """Every connection that the store makes from now on."""
    made: list[object] = []
    event.listen(store._own_engine(), "connect", lambda connection, _record: made.append(connection))
    return made


def ask(store: Store, times: int = 3) -> None:
    for _ in range(times):
        store.find(Query(limit=1))


def test_a_burst_is_one_connection(store: Store, connections: list[object]) -> None:
    """Without it there is one for each question; inside another burst it is the same one."""
    ask(store)
    assert len(connections) == 3
    with store.burst(), store.burst():
        ask(store)
        with store._transaction() as first, store._transaction() as second:  # one inside the other
            assert first is not second
    assert len(connections) == 5
    ask(store)
    assert len(connections) == 8


def test_a_pause_ends_the_connection(
    store: Store, connections: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may have cut it off meanwhile."""
    monkeypatch.setattr(connect, "IDLE_SECONDS", -1.0)
    with store.burst():
        ask(store)
    assert len(connections) == 3


def test_an_error_ends_the_connection(store: Store, connections: list[object]) -> None:
    """The next question makes another; one of another thread has its own, whatever becomes of that."""
    with store.burst():
        ask(store)
        with pytest.raises(StoreRefused), store._transaction() as connection:
            connection.execute(text("SELECT nothing FROM nowhere"))
        ask(store)
        assert len(connections) == 2
        with store._transaction() as mine:
            wrong: list[BaseException] = []

            def elsewhere() -> None:
                try:
                    with store._transaction() as connection:
                        connection.execute(text("SELECT nothing FROM nowhere"))
                except StoreRefused as error:
                    wrong.append(error)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            assert wrong and mine.execute(text("SELECT 1")).scalar() == 1
    assert len(connections) == 3
