"""Shows a table again and again while trials run: `mitosis ls --watch`."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from mitosis import telling
from mitosis.trial import Summary

if TYPE_CHECKING:
    from mitosis.store import Store
    from mitosis.store.values import SweepState

_EVERY = 1.0  # seconds
_QUIET = 10.0  # seconds without a running trial, after which a pipe waits for no job any more
_RECENT = (
    24 * 3600.0
)  # seconds without a new trial, after which a sweep that nobody named is taken for given up


class Look(NamedTuple):
    """What one look at the store gives."""

    lines: list[str]
    runs: bool  # a trial runs
    waits: bool  # a job has not begun


def sweeps_of(
    store: Store, trials: Sequence[Summary], named: str | None, project: str | None
) -> list[SweepState]:
    """How the sweep that is asked for stands, else those of the page of which a job runs or waits.

    The newest sweep of the project is on no page before an engine has begun its first job.
    """
    found = [trial.sweep for trial in trials if trial.sweep is not None]
    if named is None and (unbegun := store.unbegun_sweep(project)) is not None:
        found.append(unbegun)
    if named is not None:
        record = store.named_sweep(named)
        found = [] if record is None else [record.id]
    states = (store.sweep_state(sweep) for sweep in dict.fromkeys(found))
    return [s for s in states if s is not None and (named is not None or s.running or s.waiting)]


def line(state: SweepState, name: str) -> str:
    """One line on a sweep: what waits, runs and is over, and when it will end."""
    parts = [] if not state.waiting else [f"{state.waiting} waiting"]
    parts += [f"{number} {status.value}" for status, number in state.counts.items()]
    parts += [f"{state.stood_for} stood for"] if state.stood_for else []
    left = eta(state)
    parts += [f"eta {telling.duration(left)}"] if left is not None else []
    return f"sweep {name}: {', '.join(parts) or 'nothing has begun'}"


def waits(state: SweepState, named: bool) -> bool:
    """Whether jobs of the sweep may yet begin: they may have to wait for an engine, or for ever."""
    latest = state.latest or state.record.started_at
    return bool(state.waiting) and (named or latest is None or _seconds(latest, state.now) < _RECENT)


def _seconds(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def eta(state: SweepState) -> float | None:
    """Seconds until the sweep is over, at the pace it had so far; None where that cannot be told."""
    own = state.done - state.stood_for
    if state.began is None or not state.running or own <= 0 or state.waiting is None:
        return None
    return _seconds(state.began, state.now) / own * (state.waiting + state.running)


def follow(look: Callable[[], Look]) -> None:
    """Show what `look` gives until nothing runs and no job waits.

    Where stdout is no terminal, the last look alone is printed. A sweep whose driver has given up leaves jobs
    that wait for ever: nobody is there to see that, so that they are waited for as long as a pause between
    two trials may last.
    """
    if not sys.stdout.isatty():
        print("\n".join(_last(look, lambda _: None, _QUIET)))
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        _last(look, lambda lines: live.update(Text.from_ansi("\n".join(lines)), refresh=True), math.inf)


def _last(look: Callable[[], Look], show: Callable[[list[str]], None], patience: float) -> list[str]:
    quiet_since = time.monotonic()
    while True:
        seen = look()
        show(seen.lines)
        if seen.runs:
            quiet_since = time.monotonic()
        elif not seen.waits or time.monotonic() - quiet_since > patience:
            return seen.lines
        time.sleep(_EVERY)
