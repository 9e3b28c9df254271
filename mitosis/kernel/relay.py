"""Brings what a forked child of the kernel sees back to the kernel, through a file without a name."""

from __future__ import annotations

import json
import os
from typing import Any

_folder = ""
_file = -1  # descriptor, shared by the kernel and all of its children
_child = False
_begun = False


def begin(folder: str) -> None:
    """Let children that are forked from now on tell what they see; the file is made before the first one."""
    global _folder, _begun
    _folder = folder
    if not _begun:  # what is registered stays so
        _begun = True
        os.register_at_fork(before=_open, after_in_child=_become)


def in_child() -> bool:
    """Is this process a child of the one that the trial began in."""
    return _child


def tell(kind: str, content: Any) -> None:
    """In a child: leave word for the kernel. What was seen in the kernel itself needs no word."""
    if _child and _file >= 0:
        try:
            os.write(_file, json.dumps([kind, content]).encode() + b"\n")  # one write: lines do not mix
        except OSError:
            return  # the child closed what it inherited


def told() -> list[tuple[str, Any]]:
    """What the children told so far, as (kind, content), in the order in which it was told."""
    if _file < 0:
        return []
    content = b""
    while block := os.pread(_file, 1 << 20, len(content)):
        content += block
    found = []
    for line in content.splitlines():
        try:
            kind, thing = json.loads(line)
        except ValueError:  # of a child that was killed while it wrote
            continue
        found.append((kind, thing))
    return found


def _open() -> None:
    global _file
    if _file >= 0 or not _folder or _child:
        return
    path = os.path.join(_folder, f".children-{os.getpid()}")  # noqa: PTH118
    try:
        _file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(path)  # noqa: PTH108
    except OSError:
        return  # a full disk must not keep the experiment from forking


def _become() -> None:
    global _child
    _child = True
