"""Finds the data files that an experiment declares and digests their content, each state of a file once."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from mitosis.errors import TrialRefused
from mitosis.trial import FileRecord

_BLOCK = 1 << 18  # bytes read at once
_FINE, _COARSE = 100_000_000, 2_000_000_000  # nanoseconds within which two changes may bear the same time


class FileKey(NamedTuple):
    """The state of a file as the system tells it, by which its digest is found again."""

    device: int
    inode: int
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int


class DigestCache(Protocol):
    """Remembers digests from one trial to the next.

    One that also has `get_many(keys) -> {key: digest}` is asked so for many files at once.
    """

    def get(self, key: FileKey, /) -> str | None:
        """The digest of the file in that state, where it is known."""

    def put(self, key: FileKey, digest: str, /) -> None:
        """Remember the digest of the file in that state."""


def declared(
    patterns: Sequence[str], repository: Path, cache: DigestCache | None = None
) -> tuple[FileRecord, ...]:
    """The records of what `patterns` name, as `expand` and `digest` have it.

    Paths are relative to the repository where they lie inside it; the size of a directory is the sum of
    its files. Raises TrialRefused where something is missing or cannot be read.
    """
    records = []
    for path in expand(patterns, repository):
        found, size = _measure(str(path), cache)
        name = path.relative_to(repository) if path.is_relative_to(repository) else path
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")  # the store holds texts
        records.append(FileRecord(shown, found, size, "declared"))
    return tuple(records)


def expand(patterns: Sequence[str], repository: Path) -> list[Path]:
    """The files and directories that `patterns` name, absolute and each once, in the order of their paths.

    A pattern is a file, a directory or a glob (`*`, `?`, `[...]`, `**` for any depth), relative to the
    repository's top, absolute, or below `~`. What is there under the very name wins over the glob. Globs
    pass over hidden names, and with `**` they name files only: a directory stands for all that is in it.
    Raises TrialRefused, naming the pattern, where one matches nothing.
    """
    found: set[Path] = set()
    for pattern in patterns:
        matches = list(_matches(pattern, repository))
        if not matches:
            raise TrialRefused(
                f"experiment.inputs: {pattern!a} matches nothing",
                f"it is looked for below {repository}: put the data there or correct the pattern",
            )
        found.update(matches)
    return sorted(found, key=os.fsencode)


def digest(path: Path, cache: DigestCache | None = None) -> str:
    """The SHA-256 of the content of `path`, 64 hex digits.

    A file has what `sha256sum` prints. A directory has the digest of its sorted tree, links followed, `.git`
    left out, that is of what `find -L . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum -z` prints in
    it; the names there begin with `./`. A link to nothing enters with the digest of its target's name.
    Raises TrialRefused where something cannot be read, is no file, or changes meanwhile.
    """
    return _measure(str(path), cache)[0]


def digests(
    states: Mapping[str, tuple[int, int, int, int, int]], cache: DigestCache | None = None
) -> dict[str, str | None]:
    """The SHA-256 of each file of `states` (by its path) in the very state, a FileKey's fields, given there.

    None where a file cannot be read, or is not in that state any more. One that the cache knows is neither
    read nor looked at.
    """
    known = _known(states.values(), cache)
    return {
        path: known.get(wanted) or _as_it_was(path, FileKey(*wanted), cache)
        for path, wanted in states.items()
    }


def _as_it_was(path: str, wanted: FileKey, cache: DigestCache | None) -> str | None:
    try:
        before, digest, after = _read(path)
    except OSError:
        return None
    if not before == wanted == after:
        return None
    if cache is not None and _settled(wanted):
        cache.put(wanted, digest)
    return digest


def _known(keys: Iterable[tuple[int, ...]], cache: DigestCache | None) -> Mapping[tuple[int, ...], str]:
    """What the cache knows of `keys`, fields of FileKeys, and maybe of others."""
    if cache is None:
        return {}
    many = getattr(cache, "get_many", None)
    if many is not None:
        found: Mapping[tuple[int, ...], str] = many(keys)
        return found
    return {key: digest for key in keys if (digest := cache.get(FileKey(*key))) is not None}


def _matches(pattern: str, repository: Path) -> Iterator[Path]:
    if not pattern.strip() or "\0" in pattern:
        return
    whole = os.path.expanduser(pattern)  # noqa: PTH111 - an unknown `~name` is a file of that name
    if os.path.lexists(repository / whole):
        yield _plain(repository / whole)
        return
    recursive = "**" in Path(whole).parts
    for name in glob.glob(whole, root_dir=repository, recursive=recursive):  # noqa: PTH207 - hidden names
        path = repository / name
        if os.path.lexists(path) and not (recursive and path.is_dir()):  # `none/**` yields a `none/`
            yield _plain(path)


def _plain(path: Path) -> Path:
    """`path` without `..`; where that would lead elsewhere, because of a link, the path that it really is."""
    if ".." not in path.parts:
        return path
    plain = Path(os.path.normpath(path))
    return plain if plain.exists() and path.exists() and plain.samefile(path) else path.resolve()


def _measure(path: str, cache: DigestCache | None) -> tuple[str, int]:
    """Digest and size in bytes."""
    try:
        status = os.stat(path)  # noqa: PTH116 - directories hold ten thousands of files
        if stat.S_ISDIR(status.st_mode):
            return _tree(path, cache)
        return _file(path, status, cache, _known([_key(status)], cache)), status.st_size
    except OSError as error:
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else path
        todo = "every input must be there and readable; experiment.inputs names them"
        if isinstance(error, FileNotFoundError):
            what = "is a link to nothing" if Path(where).is_symlink() else "is not there"
            raise TrialRefused(f"input {where} {what}", todo) from error
        raise TrialRefused(f"input {where} cannot be read: {error.strerror or error}", todo) from error


def _file(
    path: str, status: os.stat_result, cache: DigestCache | None, digests: Mapping[tuple[int, ...], str]
) -> str:
    """The digest of one file: as it is known, or read now."""
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        todo = "inputs are files and directories: remove it from experiment.inputs"
        raise TrialRefused(f"input {path} is no regular file", todo)
    known = digests.get(_key(status))
    if known is not None:
        return known
    before, found, after = _read(path)
    if before != after:
        todo = "wait until it is written, then start again"
        raise TrialRefused(f"input {path} changes while it is read", todo)
    if cache is not None and _settled(after):
        cache.put(after, found)
    return found


def key(path: str) -> FileKey | None:
    """The present state of a file; None where it is not there."""
    try:
        return _key(os.stat(path))  # noqa: PTH116
    except (OSError, ValueError):
        return None


def _key(status: os.stat_result) -> FileKey:
    return FileKey(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _read(path: str) -> tuple[FileKey, str, FileKey]:
    """The digest of a file, and its state before and after it was read."""
    hasher = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # it may be a pipe by now
    try:
        before = _key(os.fstat(descriptor))
        buffer = memoryview(bytearray(min(_BLOCK, before.size + 1)))
        while count := os.readv(descriptor, [buffer]):
            hasher.update(buffer[:count])
        after = _key(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    return before, hasher.hexdigest(), after


def _settled(key: FileKey) -> bool:
    """Whether another change would show: two of them within one tick of the file system's clock do not."""
    tick = _COARSE if key.mtime_ns % 1_000_000_000 == key.ctime_ns % 1_000_000_000 == 0 else _FINE
    return abs(time.time_ns() - key.ctime_ns) > tick


def _tree(top: str, cache: DigestCache | None) -> tuple[str, int]:
    hasher = hashlib.sha256()
    total = 0
    entries: list[tuple[bytes, str, os.stat_result | None]] = []
    for name, path in sorted(_walk(top, b"./", ())):
        try:
            entries.append((name, path, os.stat(path)))  # noqa: PTH116
        except FileNotFoundError:
            entries.append((name, path, None))
    known = _known([_key(status) for _, _, status in entries if status is not None], cache)
    for name, path, status in entries:
        if status is None:
            target = os.readlink(path)  # noqa: PTH115
            found = hashlib.sha256(os.fsencode(target)).hexdigest()
        else:
            found = _file(path, status, cache, known)
            total += status.st_size
        hasher.update(found.encode() + b"  " + name + b"\0")
    return hasher.hexdigest(), total


def newest_change(path: Path) -> int:
    """The latest ctime, in nanoseconds, of the file, or of the files in the directory, links included."""
    files = [file for _, file in _walk(str(path), b"", ())] if path.is_dir() else [str(path)]
    links = [os.lstat(file).st_ctime_ns for file in files]
    return max([*links, *(state.ctime_ns for file in files if (state := key(file)) is not None)], default=0)


def _walk(directory: str, prefix: bytes, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[bytes, str]]:
    """Every entry below `directory` that is no directory: its name in bytes after `prefix`, and its path."""
    status = os.stat(directory)  # noqa: PTH116
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise OSError(errno.ELOOP, "it is a link to a directory around it", directory)
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name == ".git":
                continue
            name = prefix + os.fsencode(entry.name)
            if entry.is_dir():
                yield from _walk(entry.path, name + b"/", (*above, here))
            else:
                yield name, entry.path
