"""Completes a trial of a sweep while the next one runs: its figures, its page and, last, its row."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Beside:
    """One piece of work at a time in a thread of its own; nothing of it outlives the sweep.

    The launcher idles while a kernel computes. What is left of the trial before is done then; it has its
    outcome in its folder already, so that even a launcher that is killed meanwhile loses nothing.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed  # hears what went wrong
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mitosis-closing")
        self._last: Future[None] | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Begin `work`, once what was begun before is done."""
        self.wait()
        self._last = self._threads.submit(work)

    def wait(self) -> None:
        """Return when nothing is left to be done."""
        last, self._last = self._last, None
        error = last.exception() if last is not None else None
        if isinstance(error, Exception):
            self._failed(error)
        elif error is not None:
            raise error
