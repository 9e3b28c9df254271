"""Prints a table that fits the terminal, and is cut nowhere when it goes into a pipe."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_WIDE = 10_000  # columns of a pipe: nothing is cut or folded


def show(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], right: Collection[str] = ()) -> None:
    """Print `rows` under `columns`; those in `right` are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False).print(table)
