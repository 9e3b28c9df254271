"""Reads commits as people tell them: who, when, what for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Told:
    """A commit in words."""

    commit: str  # full hash
    author: str
    at: str  # ISO 8601, in the author's own zone
    summary: str  # the first line of its message


def told(repository: Path, commit: str) -> Told | None:
    """The commit in words; None where the repository does not have it, or is not there.

    GitPython reads the object itself: no process is started. It is imported here because that costs
    a third of a second and starts git once.
    """
    try:
        import git
    except ImportError:  # it refuses to be imported where there is no git
        return None
    try:
        with git.Repo(repository) as repo:
            found = repo.commit(commit)
            summary = (
                found.summary if isinstance(found.summary, str) else found.summary.decode(errors="replace")
            )
            return Told(
                found.hexsha, str(found.author.name or ""), found.authored_datetime.isoformat(), summary
            )
    except (git.GitError, git.exc.ODBError, ValueError, OSError):
        return None
