"""Prints a table that fits the terminal, and is cut nowhere when it goes into a pipe."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import click

from mitosis.errors import SelectionRefused
from mitosis.trial import Status

F = TypeVar("F", bound=Callable[..., Any])

_WHOLE = ("id", "commit", "sweep", "digest", "param_set")  # to be copied
_LEAST = 5  # columns of a terminal that a word keeps in a narrow one
_WIDE = 10_000  # columns where there is no terminal: nothing is cut or folded


class Styled(NamedTuple):
    """A cell that has a colour on a terminal."""

    text: str
    style: str  # of rich: "green"


Cell: TypeAlias = str | Styled

_COLORS = {Status.SUCCEEDED: "green", Status.RUNNING: "cyan", Status.INTERRUPTED: "yellow"}


def status(value: Status) -> Styled:
    """The word of a status, in its colour."""
    return Styled(value.value, _COLORS.get(value, "red"))


def show(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> None:
    """Print `rows` under `columns`; those in `right` are aligned to the right."""
    print("\n".join(lines(columns, rows, right)))


def lines(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> list[str]:
    """The lines of the table: in colour and cut to the width of a terminal, or plain where there is none."""
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        return _rich(columns, rows, right)
    return plain(columns, rows, right)  # rich takes longer to import than the store to answer


def wide() -> int | None:
    """How many columns the terminal has; None where nothing has to fit into one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextlib.contextmanager
def paged() -> Iterator[None]:
    """Hand what is printed meanwhile to $PAGER where it is longer than the terminal."""
    real = sys.stdout
    if not real.isatty() or os.environ.get("PAGER") == "":
        yield
        return
    screen = _Screen()
    sys.stdout = screen
    try:
        yield
    finally:
        sys.stdout = real
        text = screen.getvalue()
        if text.count("\n") < shutil.get_terminal_size().lines:
            real.write(text)
            real.flush()
        else:
            click.echo_via_pager(text, color=True)


class _Screen(io.StringIO):
    """Text on its way to a terminal."""

    def isatty(self) -> bool:
        """It will be shown on one."""
        return True


def hint(command: str, before: str = "", after: str = "") -> None:
    """The next useful command, after an answer; beside the data where that goes into a pipe.

    Where this one was told its store, the next one is too: without it, it would look elsewhere.
    """
    context = click.get_current_context(silent=True)
    url = context.params.get("url") if context is not None else None
    if url and command.startswith("mitosis ") and command != "mitosis --help":
        from mitosis.store import address

        shown = address.display_url(url) if address.password_in(url) else url
        command += f" --store {shlex.quote(shown)}"
    sys.stdout.flush()
    out = sys.stdout if sys.stdout.isatty() else sys.stderr
    print(f"{before}next: {command}{after}", file=out, flush=True)


def plain(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> list[str]:
    """The lines of the table: no colour, every column as wide as its widest cell, two spaces between them."""
    cells = [list(columns), *([c.text if isinstance(c, Styled) else c for c in row] for row in rows)]
    widths = _widths(columns, rows)
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


def _widths(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[int]:
    cells = [list(columns), *([c.text if isinstance(c, Styled) else c for c in row] for row in rows)]
    return [max(width(line[at]) for line in cells) for at in range(len(columns))]


def _fitted(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str]) -> list[int]:
    """The widths of the columns in this terminal: words are cut; the first, numbers and digests are not."""
    widths, room = _widths(columns, rows), wide()
    words = [at for at, name in enumerate(columns) if at > 0 and name not in (*right, *_WHOLE)]
    while room is not None and sum(widths) + 2 * (len(widths) - 1) > room:
        longest = max(words, key=lambda at: widths[at], default=0)
        if longest == 0 or widths[longest] <= _LEAST:
            break  # the terminal folds the lines
        widths[longest] -= 1
    return widths


def _rich(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str]) -> list[str]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    widths = _fitted(columns, rows, right)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, wide in zip(columns, widths, strict=True):
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True, width=wide)
    for row in rows:
        table.add_row(*(Text(c.text, style=c.style) if isinstance(c, Styled) else Text(c) for c in row))
    console = Console(width=_WIDE, highlight=False, force_terminal=True)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().rstrip("\n").split("\n")]


def export_options(table: str) -> Callable[[F], F]:
    """Add `--csv` and `--parquet` to a command, which give its `table` to other programs."""

    def decorate(function: F) -> F:
        for option in (
            click.option(
                "--parquet",
                metavar="FILE",
                type=click.Path(path_type=Path, dir_okay=False),
                help="A Parquet file of the same instead.",
            ),
            click.option("--csv", "as_csv", is_flag=True, help=f"CSV instead: {table}."),
        ):
            function = option(function)
        return function

    return decorate


def one_form(*chosen: object) -> bool:
    """Whether a form for other programs is chosen at all; refused where it is more than one."""
    if sum(map(bool, chosen)) > 1:
        raise SelectionRefused(
            "a table is given in one form", "choose one of --json, --csv, --parquet, --watch"
        )
    return any(chosen)
