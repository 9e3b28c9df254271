"""Ends a worker that is its driver's child between two trials, where the driver is gone; or interrupted.

A worker of joblib waits minutes for another job, or for ever where the driver was killed with a lock held.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator

from mitosis import signals

_SECONDS = 1.0  # between two looks: only Linux tells of the end of a parent, and nobody waits for this one
_worker: _Worker | None = None


@contextlib.contextmanager
def at_work() -> Iterator[bool]:
    """A trial that is begun is brought to its end, whatever became of the driver; then the worker ends.

    False where none is to be begun: the last one was interrupted. In a process that is no child of its driver
    nothing happens: other engines end their workers themselves.
    """
    global _worker
    driver = multiprocessing.parent_process()
    if driver is None or driver.pid is None:
        yield True
        return
    if multiprocessing.current_process().name.startswith("LokyProcess"):
        signals.as_worker()
    _worker = _worker or _Worker(driver.pid)
    with _worker.at_work:
        yield not _worker.interrupted
        _worker.interrupted = _worker.interrupted or bool(signals.heard())
        _worker.end_without_driver()


class _Worker:
    """This process, and a thread that looks for the driver while no trial runs."""

    def __init__(self, driver: int) -> None:
        self.at_work = threading.Lock()
        self.interrupted = False
        self._driver = driver
        threading.Thread(target=self._look, name="mitosis-orphan", daemon=True).start()

    def _look(self) -> None:
        while True:
            time.sleep(_SECONDS)
            with self.at_work:
                self.end_without_driver()

    def end_without_driver(self) -> None:
        """At once: the ways out of an interpreter wait for the driver's queues."""
        if os.getppid() != self._driver:
            os._exit(1)
