"""Loads the user's modules from their source alone, and remembers which bytes each was made of.

Bytecode is never read or written for them: a stale file in `__pycache__` cannot run in place of the
source, and nothing appears beside it. Installed distributions keep theirs, by Python's own finders.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from typing import Any

from mitosis.kernel import places

_loaded: dict[str, str] = {}  # path of a source: blob id of the bytes that were compiled


def blob(content: bytes, algorithm: str = "sha1") -> str:
    """The id that git gives a file with this content (git's object format: a header, then the bytes)."""
    return hashlib.new(algorithm, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class SourceAlone(SourceFileLoader):
    """Python's loader of sources, for which no bytecode exists."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Without a time of the source Python neither reads nor writes bytecode (importlib's contract)."""
        raise OSError(f"no bytecode is used for {path}")

    def get_data(self, path: str) -> bytes:
        """The bytes of the source, remembered by their blob id."""
        content = super().get_data(path)
        if path.endswith(tuple(SOURCE_SUFFIXES)):
            _loaded[path] = blob(content)
        return content


def install() -> None:
    """Let every directory outside of Python's own be searched by a finder that uses `SourceAlone`."""
    ours = places.python()

    def hook(path: str) -> FileFinder:
        directory = os.path.abspath(path or os.getcwd())  # noqa: PTH100, PTH109 - importlib speaks in texts
        if (directory + os.sep).startswith(ours) or not os.path.isdir(directory):  # noqa: PTH112
            raise ImportError("Python's own finder does it", path=path)
        return FileFinder(
            path,
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (SourceAlone, SOURCE_SUFFIXES),
            (SourcelessFileLoader, [".pyc"]),
        )

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def modules() -> list[dict[str, str]]:
    """Every loaded module that is neither Python's nor of an installed distribution, nor the guard.

    Each as `{name, path, blob, kind}`; kind is source, built (an extension module, with the SHA-256 of its
    file), sourceless, or unwatched (loaded by other means: the blob is of the file as it is now).
    """
    ours = places.python()
    found = []
    for name, module in sorted(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        origin = getattr(spec, "origin", None) or getattr(module, "__file__", None)
        if not isinstance(origin, str) or not os.path.isabs(origin) or _of_guard(name):  # noqa: PTH117
            continue
        if os.path.realpath(origin).startswith(ours) and origin.startswith(ours):
            continue
        loader = getattr(spec, "loader", None)
        if isinstance(loader, ExtensionFileLoader):
            kind, identity = "built", _digest(origin)
        elif isinstance(loader, SourcelessFileLoader):
            kind, identity = "sourceless", _digest(origin)
        elif origin in _loaded:
            kind, identity = "source", _loaded[origin]
        else:
            kind, identity = "unwatched", _blob_now(origin)
        found.append({"name": name, "path": origin, "blob": identity, "kind": kind})
    return found


def _of_guard(name: str) -> bool:
    return name in ("mitosis", "__main__") or name.startswith("mitosis.kernel")


def _digest(path: str) -> str:
    try:
        digest = hashlib.sha256()
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is not otherwise needed in the kernel
            while block := file.read(1 << 18):
                digest.update(block)
        return digest.hexdigest()
    except OSError:
        return ""


def _blob_now(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return blob(file.read())
    except OSError:
        return ""
