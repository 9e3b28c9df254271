"""The text of a stream as a terminal would show it, at bounded length."""

from __future__ import annotations

import re

LONGEST = 200_000  # characters of one stream that the notebook keeps at its start, and at its end

_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\r\n])", re.MULTILINE)
_ERASED = re.compile(r"[^\n\b]\b")


def joined(before: str, text: str, elsewhere: str) -> str:
    """`before` with `text` after it: lines that a carriage return overwrites are gone, the middle of
    what is longer than twice `LONGEST` is left out and said to be in the file `elsewhere`.
    """
    if "\r" in text or before.endswith("\r") or "\b" in text:
        done, newline, line = before.rpartition("\n")
        line = _OVERWRITTEN.sub("", line + text)
        while _ERASED.search(line):
            line = _ERASED.sub("", line)
        whole = done + newline + line
    else:
        whole = before + text
    if len(whole) <= 3 * LONGEST:
        return whole
    return whole[:LONGEST] + f"\n[… left out here; all of it is in {elsewhere} …]\n" + whole[-LONGEST:]
