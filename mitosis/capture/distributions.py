"""Holds installed files against the RECORD that their installer wrote: whose they are, and if edited."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mitosis.capture import inputs

Taint = Callable[[str, str, str], None]  # kind, what, where

_OF_NOBODY = frozenset({"_virtualenv.py"})  # the tool that makes an environment puts it there


def owner(path: str, blob: str) -> str | None:
    """ "name version" of the distribution whose RECORD lists `path` with the content it has.

    `blob` is git's id, or the SHA-256, of the bytes that were loaded. None where no distribution lists the
    file, or where it is not what was installed. The format is that of "Recording installed projects" (PyPA).
    """
    for folder in Path(path).parents:
        for metadata in _metadata(str(folder), _changed(str(folder), "")):
            listed = _record(metadata, _changed(metadata)).get(os.path.relpath(path, folder))
            if listed is not None:
                return _label(metadata) if _is(path, blob, listed) else None
    return None


def check(installed: Mapping[str, Iterable[str]], cache: inputs.DigestCache | None, taint: Taint) -> None:
    """Find the modules that were edited after they were installed, and those that nothing installed.

    `installed` are files by the directory that they were installed into, relative to it. A file that is not
    younger than the RECORD of its distribution is not read. Where a distribution has no RECORD (systems that
    install by other means), nobody can tell whose a file is, and nothing is said of strangers.
    """
    for place, files in installed.items():
        owners, complete = _owners(place, _changed(place, ""))
        for file in files:
            metadata = owners.get(file.partition("/")[0], ())
            path = os.path.join(place, file)  # noqa: PTH118 - there are a thousand of them
            if metadata:
                _unedited(path, file, metadata, cache, taint)
            elif complete and file not in _OF_NOBODY:
                what = f"{file} lies among the installed distributions, but none of them has brought it"
                taint("code_not_installed", what, path)


def _unedited(
    path: str, file: str, owners: Iterable[str], cache: inputs.DigestCache | None, taint: Taint
) -> None:
    state = inputs.key(path)
    if state is None:
        return  # it was removed since: an uninstallation, which changes the environment
    for metadata in owners:
        changed = _changed(metadata)
        if state.ctime_ns <= changed:
            continue
        algorithm, _, listed = _record(metadata, changed).get(file, "").partition("=")
        digest = inputs.digests({path: state}, cache)[path] if algorithm == "sha256" and listed else None
        if digest is not None and _urlsafe(bytes.fromhex(digest)) != listed:
            taint("code_edited", f"{file} is not what was installed of {_label(metadata)}", path)


def _changed(metadata: str, name: str = "RECORD") -> int:
    """When it was written, in nanoseconds; 0 where there is none."""
    state = inputs.key(os.path.join(metadata, name))  # noqa: PTH118
    return state.ctime_ns if state is not None else 0


@functools.lru_cache(maxsize=512)
def _metadata(folder: str, _changed: int) -> tuple[str, ...]:
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(e.path for e in entries if e.name.endswith(".dist-info")))
    except OSError:
        return ()


@functools.lru_cache(maxsize=8)
def _owners(place: str, changed: int) -> tuple[Mapping[str, tuple[str, ...]], bool]:
    """The distributions by the first part of the paths of their files, and whether all have told theirs."""
    found: dict[str, tuple[str, ...]] = {}
    complete = not any(e.endswith((".egg-info", ".egg-link")) for e in os.listdir(place))  # noqa: PTH208
    for metadata in _metadata(place, changed):
        try:
            content = Path(metadata, "RECORD").read_bytes()
        except OSError:
            complete = False
            continue
        for first in {line.partition(b"/")[0].partition(b",")[0] for line in content.splitlines()}:
            name = os.fsdecode(first.lstrip(b'"'))
            found[name] = (*found.get(name, ()), metadata)
    return found, complete


@functools.lru_cache(maxsize=512)
def _record(metadata: str, _changed: int) -> dict[str, str]:
    """Path relative to the folder of the metadata -> `algorithm=digest`."""
    try:
        with Path(metadata, "RECORD").open(encoding="utf-8", newline="") as file:
            return {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}
    except (OSError, ValueError, csv.Error):
        return {}


def _is(path: str, blob: str, listed: str) -> bool:
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    identity = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    algorithm, _, digest = listed.partition("=")
    if (
        blob not in (identity, hashlib.sha256(content).hexdigest())
        or algorithm not in hashlib.algorithms_guaranteed
    ):
        return False
    return _urlsafe(hashlib.new(algorithm, content, usedforsecurity=False).digest()) == digest


def _urlsafe(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _label(metadata: str) -> str:
    name, _, version = os.path.basename(metadata).removesuffix(".dist-info").partition("-")  # noqa: PTH119
    return f"{name} {version}"
