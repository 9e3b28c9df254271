"""Commits that nobody made: one commit with some of its files taken from another, or from a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from mitosis.capture import code, git

NAME = "mitosis"
_FILE_MODE = "100644"


def commit(repository: Path, base: str, taken: Mapping[str, str | Path | None]) -> str:
    """The hash of a commit that is `base` with the files and directories of `taken` replaced.

    Each path of `taken` (relative to the top) comes from the commit that is named, from a file (an absolute
    Path), or is left out (None, or absent in that commit). The same request gives the same commit; it has
    `base` as its parent and a ref of its own. Neither branch nor index nor files are touched. Where nothing
    is other than in `base`, that is the answer. Raises RepositoryRefused where git cannot do it.
    """
    with tempfile.TemporaryDirectory(prefix="mitosis-index-") as folder:
        extra = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.run(repository, "read-tree", base, extra=extra)
        out = [f"0 {'0' * len(base)}\t{name}" for path in taken for name in _below(repository, base, path)]
        into = [entry for path, source in taken.items() for entry in _entries(repository, path, source)]
        lines = b"".join(os.fsencode(line) + b"\0" for line in (*out, *into))
        if lines:
            git.run(repository, "update-index", "-z", "--index-info", stdin=lines, extra=extra)
        tree = git.run(repository, "write-tree", extra=extra).decode().strip()
    return _stored(repository, base, tree)


def changed(repository: Path, a: str, b: str) -> tuple[str, ...]:
    """The paths of the files in which two commits differ; a file that was renamed is two of them."""
    out = git.run(repository, "diff-tree", "-r", "-z", "--name-only", "--no-renames", a, b)
    return tuple(os.fsdecode(name) for name in out.split(b"\0") if name)


def _below(repository: Path, of: str, path: str) -> Iterable[str]:
    """The files that `of` has at or below `path`."""
    return (name for _, name in _listed(repository, of, path))


def _listed(repository: Path, of: str, path: str) -> Iterable[tuple[str, str]]:
    """(mode and hash, name) of everything that `of` has at or below `path`."""
    out = git.run(repository, "ls-tree", "-r", "-z", "--full-tree", of, "--", path)
    for record in filter(None, os.fsdecode(out).split("\0")):
        words, _, name = record.partition("\t")
        mode, _, identity = words.split(" ")
        yield f"{mode} {identity}", name


def _entries(repository: Path, path: str, source: str | Path | None) -> Iterable[str]:
    if source is None:
        return []
    if isinstance(source, str):
        return [f"{words}\t{name}" for words, name in _listed(repository, source, path)]
    made = git.run(repository, "hash-object", "-w", "--no-filters", "--", str(source)).decode().strip()
    return [f"{_FILE_MODE} {made}\t{path}"]


def _stored(repository: Path, base: str, tree: str) -> str:
    own = git.run(repository, "rev-parse", f"{base}^{{tree}}").decode().strip()
    if tree == own:
        return base
    # the base's date and a name of ours: the commit is a function of what is in it
    date = git.run(repository, "show", "-s", "--no-show-signature", "--format=%cd", "--date=raw", base)
    person = {"NAME": NAME, "EMAIL": "mitosis@localhost", "DATE": "@" + date.decode().strip()}
    extra = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in person.items()}
    message = f"Files of {base[:12]} with others in their place, put together by mitosis\n".encode()
    made = git.run(repository, "commit-tree", "--no-gpg-sign", "-p", base, tree, stdin=message, extra=extra,
                   settings=("i18n.commitEncoding=utf-8",))  # fmt: skip
    commit = made.decode().strip()
    code.keep(repository, commit)
    return commit
