"""Which code runs: the repository, its commit, whether the files are those of the commit, its project."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from mitosis.capture import git
from mitosis.capture.changes import Change, WorkingTree, look, refusal
from mitosis.errors import RepositoryRefused
from mitosis.trial import CodeState, Remark

__all__ = [
    "Change",
    "WorkingTree",
    "changes",
    "describe",
    "find_repository",
    "git_common_dir",
    "inspect",
    "keep",
    "look",
    "origin",
    "project",
    "refusal",
    "tracked_under",
    "without_credentials",
]

KEPT = "refs/mitosis/kept"
"""Where the refs lie that keep recorded commits from `git gc`: one per commit, named by its hash."""


def find_repository(start: Path) -> Path:
    """The top of the working tree around `start` (absolute, symbolic links resolved); one git process.

    Raises RepositoryRefused: no repository, a bare one, one of another user, the inside of `.git`, git
    missing. A repository without a commit is found; `inspect` refuses it.
    """
    if not start.is_dir():
        raise RepositoryRefused(
            f"{git.shown(str(start))} is no directory", "run inside the repository of your experiment"
        )
    answer = git.run(start, "rev-parse", "--is-inside-work-tree", "--show-toplevel")
    inside, _, top = os.fsdecode(answer).partition("\n")
    repository = Path(top.removesuffix("\n"))
    if inside != "true":
        raise RepositoryRefused(
            f"{git.shown(str(start))} belongs to a repository whose files lie elsewhere: core.worktree says "
            f"{git.shown(str(repository))}",
            "run from there, or remove the setting: git config --unset core.worktree",
        )
    return repository


def inspect(repository: Path) -> CodeState:
    """The code of a clean working tree whose top is `repository`; three git processes without submodules.

    Raises DirtyRepository naming what differs from the commit, RepositoryRefused where git cannot tell.
    """
    tree = look(repository)
    if tree.changes:
        raise refusal(repository, tree)
    return describe(repository, tree.commit, tree.branch)


def changes(repository: Path) -> tuple[Change, ...]:
    """What differs between the files of `repository` and its commit, sorted by path; empty: clean."""
    return look(repository).changes


def describe(repository: Path, commit: str, branch: str | None, dirty: bool = False) -> CodeState:
    """The CodeState of `commit`, with project, remote and whether a remote holds it; one git process."""
    remotes = _remotes(repository)
    address = _address(remotes)
    return CodeState(
        commit=commit,
        branch=branch,
        dirty=dirty,
        project=address or _first_commit(repository),
        repository=str(repository),
        remote=address,
        pushed=_pushed(repository, commit) if remotes else None,
        tree=str(repository),
    )


def project(repository: Path) -> str:
    """The project's name: origin's address without credentials, else the hash of its first commit.

    Empty where there is neither: a repository without a commit has no trials.
    """
    return origin(repository) or _first_commit(repository)


def origin(repository: Path) -> str | None:
    """The address of the remote `origin`, without credentials; None where there is none."""
    return _address(_remotes(repository))


def head(repository: Path) -> str:
    """The full hash of the present commit; raises RepositoryRefused where there is none."""
    return git.run(repository, "rev-parse", "--verify", "HEAD").decode().strip()


def git_common_dir(repository: Path) -> Path:
    """The git directory shared by all working trees of the repository; no git process."""
    return git.common_directory(git.directory(repository))


def main_tree(repository: Path) -> Path:
    """The top of the main working tree: of a linked one (`git worktree`) the one it was made from.

    What is kept beside the code is kept there: `git worktree remove` deletes what git ignores. Where there is
    no main tree (a bare repository, a submodule) it is `repository` itself.
    """
    own = git.directory(repository)
    common = git.common_directory(own)
    main = common.parent
    return main if own != common and common.name == ".git" and (main / ".git").is_dir() else repository


def keep(repository: Path, commit: str) -> Remark | None:
    """Give `commit` a ref, so that amend, rebase and `git gc` never lose it; submodules' commits too.

    Returns None, or a note of kind `unkept` where the ref cannot be written (a read-only `.git`).
    """
    name = f"{KEPT}/{commit}"
    if _is_kept(repository, name, commit):
        return _keep_inside(repository, commit)
    answer = git.attempt(repository, "update-ref", name, commit)
    # Another process may hold the lock because it writes the very same ref.
    if answer.returncode != 0 and git.attempt(repository, "show-ref", "--verify", name).returncode != 0:
        reason = os.fsdecode(answer.stderr).strip().splitlines()
        return Remark(
            "unkept",
            f"commit {commit[:7]} has no ref of its own, git gc may lose it: {reason[0] if reason else ''}",
            str(repository),
        )
    return _keep_inside(repository, commit)


def kept(repository: Path) -> set[str]:
    """The commits that have a ref of `keep`."""
    names = git.run(repository, "for-each-ref", "--format=%(refname)", KEPT).decode().split()
    return {name.removeprefix(f"{KEPT}/") for name in names}


def _is_kept(repository: Path, name: str, commit: str) -> bool:
    """Whether the ref is there, as a file of its own; one that git has packed is just written again."""
    try:
        return (git_common_dir(repository) / name).read_text().strip() == commit
    except (OSError, ValueError):
        return False


def _keep_inside(repository: Path, commit: str) -> Remark | None:
    """As `keep`, for the commits of its submodules."""
    if not (repository / ".gitmodules").is_file():
        return None
    remarks = (
        keep(repository / path, inner)
        for path, inner in git.links(repository, commit).items()
        if os.path.lexists(repository / path / ".git")
    )
    return next(filter(None, remarks), None)


def tracked_under(repository: Path, path: Path) -> bool:
    """Whether `path` is a tracked file, or a directory that holds one; submodules included."""
    for candidate in {Path(os.path.abspath(path)), path.resolve()}:  # noqa: PTH100 (resolve follows links)
        if not candidate.is_relative_to(repository):
            continue
        owner = next(
            (above for above in (candidate, *candidate.parents) if os.path.lexists(above / ".git")),
            repository,
        )
        if git.run(owner, "ls-files", "-z", "--", str(candidate.relative_to(owner))):
            return True
    return False


def without_credentials(address: str) -> str:
    """A remote's address without user, password, query and fragment, any of which may hold a token.

    >>> without_credentials("https://me:secret@example.org/lab/code.git?token=1")
    'https://example.org/lab/code.git'
    >>> without_credentials("git@example.org:lab/code.git")
    'example.org:lab/code.git'
    """
    helper, double, rest = address.partition("::")
    if double and re.fullmatch(r"[A-Za-z0-9+.-]+", helper):  # a transport helper, gitremote-helpers(7)
        return f"{helper}::{without_credentials(rest)}"
    scheme, separator, rest = address.partition("://")
    if separator:
        if scheme.lower() == "file":
            return address
        rest = re.split("[?#]", rest, maxsplit=1)[0] if scheme.lower() in ("http", "https") else rest
        host, slash, path = rest.partition("/")
        if "@" in path and re.search(r":(?!\d*$)", host.rpartition("@")[2]):
            host, slash, path = rest.rpartition("@")[2].partition("/")  # a slash inside the password
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    host, colon, path = address.partition(":")
    if colon and "/" not in host:  # scp's form, git-clone(1)
        return f"{host.rpartition('@')[2]}:{path}"
    return address


def _address(remotes: Mapping[str, str]) -> str | None:
    return without_credentials(remotes["origin"]) if "origin" in remotes else None


def _first_commit(repository: Path) -> str:
    # Along first parents there is one root, and merging a foreign history in does not change it.
    question = ("rev-list", "--first-parent", "--max-parents=0", "HEAD")
    answer = git.attempt(repository, *question)
    if answer.returncode != 0 and b"argument 'HEAD': unknown revision" not in answer.stderr:
        raise git.refusal(repository, question[0], answer.stderr)
    return answer.stdout.decode().strip() if answer.returncode == 0 else ""


def _pushed(repository: Path, commit: str) -> bool:
    return bool(git.run(repository, "for-each-ref", "--count=1", f"--contains={commit}", "refs/remotes"))


_LINE = re.compile(
    r"""\s*(?: [#;].*
      | \[(?P<section>[A-Za-z0-9.-]+)(?:[ ]"(?P<name>[^"\\]*)")?\]
      | (?P<key>[A-Za-z][A-Za-z0-9-]*)\s*(?:=\s*(?P<value>[^"\\#;]*?))? )?\s*""",
    re.VERBOSE,
)


def _remotes(repository: Path) -> dict[str, str]:
    """The fetch addresses of the remotes by name, as the repository's own configuration says.

    A plain configuration file is read here, which saves a process of each start; one with quotes,
    comments behind values or includes is left to git.
    """
    path = git_common_dir(repository) / "config"
    found: dict[str, str] = {}
    remote = None
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").split("\n"):
        match = _LINE.fullmatch(line)
        section = match["section"].lower() if match and match["section"] else ""
        if not match or section.startswith(("include", "remote.")):
            return _remotes_by_git(repository)
        if section:
            remote = match["name"] if section == "remote" else None
        elif remote is not None and match["key"] and match["key"].lower() == "url" and match["value"]:
            found.setdefault(remote, match["value"])
    return found


def _remotes_by_git(repository: Path) -> dict[str, str]:
    answer = git.attempt(
        repository, "config", "--local", "--includes", "-z", "--get-regexp", r"^remote\..*\.url$"
    )
    found: dict[str, str] = {}
    for entry in os.fsdecode(answer.stdout).split("\0"):
        key, newline, value = entry.partition("\n")
        if newline:
            found.setdefault(key.removeprefix("remote.").removesuffix(".url"), value)
    return found
