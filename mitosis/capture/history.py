"""Reads commits as people tell them: who, when, what for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mitosis.capture import git


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
        import git as library
    except ImportError:  # it refuses to be imported where there is no git
        return None
    try:
        with library.Repo(repository) as repo:
            found = repo.commit(commit)
            summary = (
                found.summary if isinstance(found.summary, str) else found.summary.decode(errors="replace")
            )
            return Told(
                found.hexsha, str(found.author.name or ""), found.authored_datetime.isoformat(), summary
            )
    except (library.GitError, library.exc.ODBError, ValueError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two commits are apart: those that only one of them has behind it."""

    only_a: int
    only_b: int

    def __str__(self) -> str:
        """In words: `3 commits apart`."""
        if self.only_a and self.only_b:
            return f"on two lines of history, {self.only_a} and {self.only_b} commits since they parted"
        number = self.only_a + self.only_b
        return f"{number} commit{'' if number == 1 else 's'} apart"


def distance(repository: Path, a: str, b: str) -> Distance | None:
    """How far two commits are apart; None where the repository, or one of them, is not there."""
    if not repository.is_dir():
        return None
    answer = git.attempt(repository, "rev-list", "--left-right", "--count", f"{a}...{b}", "--")
    if answer.returncode != 0:
        return None
    left, right = answer.stdout.split()
    return Distance(int(left), int(right))


def patch(repository: Path, a: str, b: str, paths: Sequence[str]) -> str:
    """`git diff` from commit `a` to `b` over `paths`. Raises RepositoryRefused where one is not there."""
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/")
    answer = git.run(repository, "diff", *options, "--dst-prefix=b/", a, b, "--", *paths,
                     settings=("core.quotePath=false",))  # fmt: skip
    return answer.decode(errors="replace")


def line(repository: Path, good: str, bad: str) -> tuple[str, ...]:
    """The commits from `good`, which is not among them, to `bad`, oldest first, along first parents.

    Where `good` does not lie behind `bad`, the commit at which they parted is the first. Raises
    RepositoryRefused where one is not there or the two share no history.
    """
    out = git.run(repository, "rev-list", "--first-parent", "--reverse", f"{good}..{bad}", "--")
    commits = tuple(out.decode().split())
    if git.attempt(repository, "merge-base", "--is-ancestor", good, bad).returncode == 0:
        return commits
    base = git.run(repository, "merge-base", good, bad).decode().strip()
    return (base, *commits)


def parents(repository: Path, commit: str) -> tuple[str, ...]:
    """The parents of a commit; none of the first."""
    return tuple(git.run(repository, "rev-parse", f"{commit}^@", "--").decode().replace("--", "").split())


def message(repository: Path, commit: str) -> str:
    """The whole message of a commit."""
    out = git.run(repository, "show", "-s", "--no-show-signature", "--format=%B", commit)
    return out.decode(errors="replace").strip()
