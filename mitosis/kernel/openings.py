"""Openings that no `open` event tells of: databases, files that are cut, and libraries."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mitosis.kernel.watch import counted, text


def _database(arguments: tuple[Any, ...]) -> None:
    """SQLite opens its files itself, for writing where it may."""
    path = text(arguments[0])
    if path.startswith("file:"):
        from urllib.parse import unquote

        path = unquote(path.removeprefix("file:").partition("?")[0])
        path = path.removeprefix("//") if path.startswith("///") else path
    if not path or path.startswith(":memory:"):
        return
    counted(path, os.O_RDWR)
    log = f"{path}-wal"
    if os.path.exists(log):  # noqa: PTH110 - what was written last may stand there alone
        counted(log, os.O_RDWR)


def _truncate(arguments: tuple[Any, ...]) -> None:
    counted(arguments[0], os.O_WRONLY)


def _library(arguments: tuple[Any, ...]) -> None:
    """A library that `ctypes` loads by its path; one by its name alone is the system's."""
    path = text(arguments[0])
    if "/" in path:
        counted(path, os.O_RDONLY)


EVENTS: dict[str, Callable[[tuple[Any, ...]], None]] = {
    "sqlite3.connect": _database,
    "os.truncate": _truncate,
    "ctypes.dlopen": _library,
}
"""What is to be called with the arguments of an audit event."""
