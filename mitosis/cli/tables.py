"""Prints a table that fits the terminal, and is cut nowhere when it goes into a pipe."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeAlias

_WIDE = 10_000  # columns where there is no terminal: nothing is cut or folded


class Styled(NamedTuple):
    """A cell that has a colour on a terminal."""

    text: str
    style: str  # of rich: "green"


Cell: TypeAlias = str | Styled


def show(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> None:
    """Print `rows` under `columns`; those in `right` are aligned to the right."""
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        _rich(columns, rows, right)
    else:
        print("\n".join(plain(columns, rows, right)))  # rich takes longer to import than the store to answer


def plain(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> list[str]:
    """The lines of the table: no colour, every column as wide as its widest cell, two spaces between them."""
    cells = [list(columns), *([c.text if isinstance(c, Styled) else c for c in row] for row in rows)]
    widths = [max(width(line[at]) for line in cells) for at in range(len(columns))]
    lines = []
    for line in cells:
        padded = []
        for name, cell, wide in zip(columns, line, widths, strict=True):
            space = " " * (wide - width(cell))
            padded.append(space + cell if name in right else cell + space)
        lines.append("  ".join(padded).rstrip())
    return lines


def width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _rich(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(c.text, style=c.style) if isinstance(c, Styled) else Text(c) for c in row))
    Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False).print(table)
