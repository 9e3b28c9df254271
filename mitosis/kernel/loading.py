"""Loads the user's modules from their source alone, and remembers which bytes each was made of.

Bytecode is never read or written for them: a stale file in `__pycache__` cannot run in place of the
source, and nothing appears beside it. Installed distributions keep theirs.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import linecache
import os
import sys
import threading
from collections.abc import Mapping
from importlib.machinery import (
    ExtensionFileLoader,
    SourceFileLoader,
    SourcelessFileLoader,
)
from typing import Any

from mitosis.kernel import places, relay, watch
from mitosis.kernel.places import Border, code, directories

_loaded: dict[str, dict[str, str]] = {}  # path of a source: {blob id of bytes that were compiled: module}
_border: Border | None = None
_compiling = threading.local()  # .path: the source that this thread compiles


def blob(content: bytes, algorithm: str = "sha1") -> str:
    """The id that git gives a file with this content (git's object format: a header, then the bytes)."""
    return hashlib.new(algorithm, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def install(*own: str) -> None:
    """Let Python's loader of sources keep a list, and use no bytecode, outside of Python's own directories.

    `own` are the user's directories, which count wherever they lie. The loader's methods are wrapped, so
    that every way to it is seen: imports, `runpy`, `importlib.util.spec_from_file_location`, hooks of others.
    """
    global _border
    begun, _border = _border is not None, code(*own)
    if begun:
        return
    path_stats, get_data, get_code = (
        SourceFileLoader.path_stats,
        SourceFileLoader.get_data,
        SourceFileLoader.get_code,
    )

    def stats_of_source(self: SourceFileLoader, path: str) -> Mapping[str, Any]:
        if _is_users(path):  # without a time of the source Python neither reads nor writes bytecode
            raise OSError(f"no bytecode is used for {path}")
        return path_stats(self, path)

    def data_of_source(self: SourceFileLoader, path: str) -> bytes:
        if getattr(_compiling, "path", None) != path:
            return get_data(self, path)
        content = watch.unnoted(path, lambda: get_data(self, path))
        _remember(self.name, os.path.abspath(path), content)  # noqa: PTH100 - importlib speaks in texts
        return content

    def code_of_source(self: SourceFileLoader, fullname: str) -> Any:
        path = self.get_filename(fullname)
        _compiling.path = path if _is_users(path) else None
        try:
            return get_code(self, fullname)
        finally:
            _compiling.path = None

    for name, wrapped in (
        ("path_stats", stats_of_source),
        ("get_data", data_of_source),
        ("get_code", code_of_source),
    ):
        setattr(SourceFileLoader, name, wrapped)


def _is_users(path: str) -> bool:
    return _border is not None and not _border.beyond(os.path.abspath(path))  # noqa: PTH100


def _remember(name: str, path: str, content: bytes) -> None:
    if _of_guard(path):
        return
    identity = blob(content)
    _loaded.setdefault(path, {})[identity] = name
    relay.tell("module", [path, identity, name])
    try:
        lines = importlib.util.decode_source(content).splitlines(keepends=True)
    except (SyntaxError, UnicodeDecodeError):
        return  # the import will say so
    # What tracebacks show and `inspect` gives is then what was loaded, whatever the file says by now.
    linecache.cache[path] = (len(content), None, lines, path)


def is_unchanged(path: str) -> bool:
    """Was `path` loaded as a module, and does the file still hold what was loaded."""
    return path in _loaded and _blob_now(path) in _loaded[path]


def modules() -> list[dict[str, str]]:
    """Every module that was loaded and is neither Python's nor of an installed distribution, nor the guard.

    Each as `{name, path, blob, kind}`, more than once where it was loaded with different contents; those
    that are not in `sys.modules` any more, and those of forked children, included. kind is source; built (an
    extension module, with the SHA-256 of its file); sourceless; archived (the path and blob are the zip
    file's); or unwatched (loaded by other means: the blob is of the file as it is now).
    """
    for kind, content in relay.told():
        if kind == "module":
            path, identity, name = content
            _loaded.setdefault(path, {}).setdefault(identity, name)
    found = []
    listed: set[str] = set()
    for name, module in sorted(sys.modules.items(), key=lambda item: item[0]):
        entry = _described(name, module)
        if entry is None:
            continue
        contents = _loaded.get(entry["path"])
        if entry["kind"] != "source" or not contents:
            found.append(entry)
            continue
        listed.add(entry["path"])
        found += [{**entry, "blob": identity} for identity in contents]
    for path in sorted(_loaded.keys() - listed):
        found += [
            {"name": name, "path": path, "blob": identity, "kind": "source"}
            for identity, name in _loaded[path].items()
        ]
    return found


def _described(name: str, module: Any) -> dict[str, str] | None:
    """The entry of one module; None for what does not count."""
    spec = getattr(module, "__spec__", None)
    loader = getattr(spec, "loader", None)
    archive = getattr(loader, "archive", None)
    origin = getattr(spec, "origin", None) or getattr(module, "__file__", None)
    if isinstance(archive, str):
        origin = os.path.abspath(archive)  # noqa: PTH100
    if not isinstance(origin, str) or not os.path.isabs(origin) or name == "__main__":  # noqa: PTH117
        return None
    if not _is_users(origin) and not _leads_to_users(origin):
        return None
    if _of_guard(origin):
        return None
    if isinstance(loader, ExtensionFileLoader):
        kind, identity = "built", _digest(origin)
    elif isinstance(loader, SourcelessFileLoader):
        kind, identity = "sourceless", _digest(origin)
    elif isinstance(archive, str):
        kind, identity = "archived", _blob_now(origin)
    elif origin in _loaded:
        kind, identity = "source", ""
    else:
        kind, identity = "unwatched", _blob_now(origin)
    return {"name": name, "path": origin, "blob": identity, "kind": kind}


def _leads_to_users(origin: str) -> bool:
    """Does a link among Python's own files lead to a file of the user's.

    Not so where the system keeps its part of Python in two places: Debian's `sitecustomize` is a link from
    the standard library into /etc.
    """
    real = _real(origin)
    return real != origin and not real.startswith(_system()) and _is_users(real)


@functools.cache
def _real(origin: str) -> str:
    """Where the file of a module lies, all links followed.

    Modules lie together: to follow the links of each one's whole path cost more than a short trial. Paths are
    texts here, as importlib has them: a Path for each of a thousand modules would cost as much again.
    """
    directory, name = os.path.split(origin)
    if os.path.islink(origin):  # noqa: PTH114
        return os.path.realpath(origin)
    return os.path.join(_real_directory(directory), name)  # noqa: PTH118


@functools.cache
def _real_directory(directory: str) -> str:
    return os.path.realpath(directory)


def warm() -> None:
    """Follow the links of all modules that are loaded now, in the fork server: its kernels need not."""
    for module in list(sys.modules.values()):
        with contextlib.suppress(Exception):  # a module that is made when it is first looked at
            origin = getattr(getattr(module, "__spec__", None), "origin", None)
            if isinstance(origin, str) and os.path.isabs(origin):  # noqa: PTH117
                _real(origin)


@functools.cache
def _system() -> tuple[str, ...]:
    return places.directories(places.SYSTEM)


def installed() -> dict[str, list[str]]:
    """The files of the loaded modules that lie where distributions are installed, relative to that place."""
    found: dict[str, set[str]] = {place: set() for place in directories(places.installed())}
    nearest_first = sorted(found, key=len, reverse=True)
    for module in list(sys.modules.values()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        if isinstance(origin, str):
            place = next((p for p in nearest_first if origin.startswith(p)), None)
            if place is not None:
                found[place].add(origin[len(place) :])
    return {place: sorted(files) for place, files in found.items() if files}


def startup(application: Any) -> list[dict[str, str]]:
    """The files that IPython ran in this kernel before the experiment, of the user's and of the machine's."""
    from IPython.core.shellapp import ENV_CONFIG_DIRS, SYSTEM_CONFIG_DIRS

    profile = getattr(getattr(application, "profile_dir", None), "startup_dir", "")
    folders = [profile, *(os.path.join(d, "startup") for d in (*ENV_CONFIG_DIRS, *SYSTEM_CONFIG_DIRS))]  # noqa: PTH118
    files = [
        os.path.join(folder, name)  # noqa: PTH118
        for folder in folders
        if folder and os.path.isdir(folder)  # noqa: PTH112
        for name in sorted(os.listdir(folder))  # noqa: PTH208
        if name.endswith((".py", ".ipy"))
    ]
    if getattr(application, "exec_PYTHONSTARTUP", False) and os.environ.get("PYTHONSTARTUP"):
        files.append(os.environ["PYTHONSTARTUP"])
    return [
        {
            "name": "IPython's startup file",
            "path": os.path.abspath(f),  # noqa: PTH100
            "blob": _blob_now(f),
            "kind": "startup",
        }
        for f in files
    ]


_GUARD = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120


def _of_guard(path: str) -> bool:
    return path.startswith(_GUARD + os.sep) or path == os.path.join(os.path.dirname(_GUARD), "__init__.py")  # noqa: PTH118, PTH120


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
