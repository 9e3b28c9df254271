"""Waits for a store whose server is away for a while: restarted, or out of reach."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mitosis.errors import StoreAway

T = TypeVar("T")

_FIRST, _LONGEST = 0.1, 5.0  # seconds between two attempts; doubled each time


def patiently(ask: Callable[[], T], seconds: float) -> T:
    """What `ask()` returns, asked again for at least `seconds` while the store is away.

    Raises StoreAway when it still is; every other error passes at once. What is asked must bear being
    asked twice.
    """
    end, pause = time.monotonic() + seconds, _FIRST
    while True:
        try:
            return ask()
        except StoreAway:
            if time.monotonic() > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)
