"""Says which installed distribution a file belongs to, by the RECORD that its installer wrote."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import os
from pathlib import Path


def owner(path: str, blob: str) -> str | None:
    """ "name version" of the distribution whose RECORD lists `path` with the content it has.

    `blob` is git's id, or the SHA-256, of the bytes that were loaded. None where no distribution lists the
    file, or where it is not what was installed. The format is that of "Recording installed projects" (PyPA).
    """
    for folder in Path(path).parents:
        for metadata in _metadata(str(folder)):
            listed = _record(metadata).get(os.path.relpath(path, folder))
            if listed is not None:
                return _label(metadata) if _is(path, blob, listed) else None
    return None


def _metadata(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(e.path for e in entries if e.name.endswith(".dist-info"))
    except OSError:
        return []


@functools.lru_cache(maxsize=64)
def _record(metadata: str) -> dict[str, str]:
    """Path relative to the folder of the metadata -> `algorithm=digest`."""
    try:
        with open(os.path.join(metadata, "RECORD"), encoding="utf-8", newline="") as file:  # noqa: PTH118, PTH123
            return {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}
    except (OSError, ValueError, csv.Error):
        return {}


def _is(path: str, blob: str, listed: str) -> bool:
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    header = b"blob %d\0" % len(content)
    loaded = (
        hashlib.sha1(header + content, usedforsecurity=False).hexdigest(),
        hashlib.sha256(content).hexdigest(),
    )
    algorithm, _, digest = listed.partition("=")
    if blob not in loaded or algorithm not in hashlib.algorithms_guaranteed:
        return False
    found = base64.urlsafe_b64encode(hashlib.new(algorithm, content, usedforsecurity=False).digest())
    return found.decode().rstrip("=") == digest


def _label(metadata: str) -> str:
    name, _, version = os.path.basename(metadata).removesuffix(".dist-info").partition("-")  # noqa: PTH119
    return f"{name} {version}"
