"""Keeps what the guard notes while the experiment runs, each once, with the user's line it comes from."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from mitosis.kernel import places, relay

MOST = 20  # notes of one kind; a loop over many lines must not fill the record

_notes: list[dict[str, str]] = []
_border = places.Border((), ())


def begin(border: places.Border) -> None:
    """Lines of the user's are from now on those of files that are not beyond `border`."""
    global _border
    _border = border


def add(kind: str, what: str, where: str) -> None:
    """Note `what`; it travels to the kernel where this is a forked child of it."""
    note = {"kind": kind, "what": what, "where": where}
    if note not in _notes and sum(n["kind"] == kind for n in _notes) < MOST:
        _notes.append(note)
        relay.tell("note", note)


def at_users_line(kind: str, what: str, harmless: Iterable[str] = ()) -> None:
    """Note `what` where the user's code is what leads to it, and no function of `harmless` packages."""
    where = users_line(harmless)
    if where:
        add(kind, what, where)


def users_line(harmless: Iterable[str] = ()) -> str:
    """file:line of the user's code that leads to the caller; '' where there is none, see `places`."""
    return places.users_line(sys._getframe(1), _border, harmless)


def found() -> list[dict[str, str]]:
    """What was noted so far, here and in children, as {kind, what, where}."""
    for kind, note in relay.told():
        if kind == "note":
            add(note["kind"], note["what"], note["where"])
    return list(_notes)
