"""Which files two commits have: what one of them adds can be found by code that never names it.

A package beside a module of the same name is imported in its stead, a pattern finds one file more, a test
for a file has another answer: none of that shows in what a trial of the other commit loaded or read.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from mitosis.capture import git
from mitosis.errors import RepositoryRefused

_LINK = "160000"  # the mode of a submodule


@functools.lru_cache(maxsize=4096)
def moved(repository: Path, a: str, b: str) -> tuple[str, ...]:
    """The files that only one of two commits has, sorted; a renamed file is two of them.

    A path that became something else (a link, a directory) counts, and so does a submodule at another
    commit. Commits never change, so that each pair is looked at once. Raises RepositoryRefused where one
    is not in the repository.
    """
    if a == b:
        return ()
    out = os.fsdecode(git.run(repository, "diff-tree", "-r", "-z", "--raw", "--no-renames", a, b))
    fields = out.split("\0")
    found = []
    for words, path in zip(fields[::2], fields[1::2], strict=False):
        old, _, _, _, kind = words.removeprefix(":").split(" ")
        if kind != "M" or old == _LINK:
            found.append(path)
    return tuple(sorted(found))


def same(repository: Path, a: str, b: str) -> bool:
    """Have two commits the same files, whatever is in them. False where that cannot be told."""
    try:
        return not moved(repository, a, b)
    except RepositoryRefused:
        return False


def has(repository: Path, commit: str, path: str) -> bool:
    """Has the commit that file, or directory."""
    listed = git.attempt(repository, "ls-tree", "-z", "--full-tree", commit, "--", path)
    return bool(listed.stdout)
