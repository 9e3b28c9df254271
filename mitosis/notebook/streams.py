"""The text of a stream as a terminal would show it, at bounded length."""

from __future__ import annotations

LONGEST = 200_000  # characters of one stream that the notebook keeps at its start, and at its end


def joined(before: str, text: str, elsewhere: str) -> str:
    """`before` with `text` after it: lines that a carriage return overwrites are gone, the middle of
    what is longer than twice `LONGEST` is left out and said to be in the file `elsewhere`.
    """
    if "\r" in text or "\b" in text or before.endswith("\r"):
        done, newline, line = before.rpartition("\n")
        whole = done + newline + "\n".join(_shown(part) for part in (line + text).split("\n"))
    else:
        whole = before + text
    if len(whole) <= 3 * LONGEST:
        return whole
    return whole[:LONGEST] + f"\n[… left out here; all of it is in {elsewhere} …]\n" + whole[-LONGEST:]


def _shown(line: str) -> str:
    """What is left of one line; a return at its end still waits for what will overwrite it."""
    waiting = "\r" if line.endswith("\r") else ""
    last = next((part for part in reversed(line.split("\r")) if part), "")
    if "\b" in last:
        kept: list[str] = []
        for character in last:
            if character != "\b":
                kept.append(character)
            elif kept:
                kept.pop()
        last = "".join(kept)
    return last + waiting
