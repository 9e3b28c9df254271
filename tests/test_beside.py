"""What is left of a trial is done beside the next one, a piece at a time, and nothing of it is lost."""

from __future__ import annotations

import threading

from mitosis.beside import Beside


def test_one_piece_of_work_is_done_at_a_time_and_waited_for() -> None:
    """The next begins when the one before is done; after `wait` nothing is left."""
    heard: list[Exception] = []
    beside = Beside(heard.append)
    going, may_end = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        going.set()
        may_end.wait()
        done.append("first")

    beside.do(first)
    assert going.wait(60) and done == []  # the caller goes on meanwhile
    threading.Timer(0.0, may_end.set).start()
    beside.do(lambda: done.append("second"))
    assert done[0] == "first"
    beside.wait()
    assert done == ["first", "second"] and heard == []


def test_what_goes_wrong_beside_is_told_and_ends_nothing() -> None:
    """A fault in the work of one trial is heard once, and the next one's is done."""
    heard: list[Exception] = []
    beside = Beside(heard.append)
    done: list[str] = []

    def wrong() -> None:
        raise ValueError("no page")

    beside.do(wrong)
    beside.do(lambda: done.append("next"))
    beside.wait()
    beside.wait()
    assert [str(error) for error in heard] == ["no page"] and done == ["next"]
