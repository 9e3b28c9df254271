"""What differs between a working tree and its commit, however the user's git is configured.

Counted as a change: whatever `git status` shows; untracked files that no `.gitignore` names (the private
lists `info/exclude` and `core.excludesFile` do not count, they are not part of the project); edits under
the flags assume-unchanged and skip-worktree; and the same inside every submodule that is checked out.
Not a change: what a `.gitignore` names, and files that a sparse checkout leaves out. A clean filter
(`.gitattributes`) decides as it does for git: a file is unchanged when what git would store is unchanged.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from mitosis.capture import git
from mitosis.errors import DirtyRepository, MitosisError, RepositoryRefused

T = TypeVar("T")

Kind = Literal[
    "conflict", "modified", "staged", "deleted", "retyped", "mode", "submodule", "flagged",
    "untracked", "excluded",
]  # fmt: skip

_WORDS: Mapping[Kind, str] = {  # also the order in which a message names them
    "conflict": "in conflict",
    "modified": "modified",
    "staged": "staged",
    "deleted": "deleted",
    "retyped": "of another type (file, link, directory)",
    "mode": "with another executable bit",
    "submodule": "submodule at another commit",
    "flagged": "changed under assume-unchanged or skip-worktree",
    "untracked": "untracked",
    "excluded": "untracked (hidden only by git settings of your own)",
}

_LETTERS: Mapping[str, Kind] = {"D": "deleted", "T": "retyped", "A": "staged"}

_STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--no-ahead-behind", "--no-renames",
           "--ignore-submodules=dirty")  # fmt: skip
_LIST = ("ls-files", "-z", "-v", "--stage")
# Who tells of untracked files: `git status` on all processors, unless info/exclude hides some of them, which
# it cannot be told to leave out.
_ALL, _NONE = "--untracked-files=all", "--untracked-files=no"
_OTHERS = ("--others", "--exclude-per-directory=.gitignore")
_UNHIDDEN = "core.excludesFile=/dev/null"


@dataclass(frozen=True, slots=True)
class Change:
    """One path, relative to the top of the repository (`/` between, ends in `/` for a nested repository)."""

    path: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """A working tree against its commit: the changes of its own, and what its submodules look like."""

    commit: str  # full hash
    branch: str | None  # None: detached
    own: tuple[Change, ...]
    flagged: tuple[str, ...] = ()  # present paths under assume-unchanged or skip-worktree, changed or not
    submodules: Mapping[str, WorkingTree] = field(default_factory=dict)  # by path; the checked-out ones

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes, submodules included, sorted by path."""
        inner = (
            Change(f"{path}/{change.path}", change.kind)
            for path, tree in self.submodules.items()
            for change in tree.changes
        )
        return tuple(sorted({*self.own, *inner}, key=lambda change: (change.path, change.kind)))


def look(repository: Path) -> WorkingTree:
    """The state of the working tree whose top is `repository`.

    Two git processes where nothing is odd. Raises RepositoryRefused where git cannot tell, and where
    there is no commit yet.
    """
    tree = _look(repository)
    if not tree.commit:
        raise RepositoryRefused(
            f"{git.shown(str(repository))} has no commit yet (branch {tree.branch}): nothing to record",
            "make the first one: git add -A, then git commit -m 'first commit'",
        )
    return tree


def _look(repository: Path) -> WorkingTree:
    settings = (*_strict(repository), _UNHIDDEN)
    extra = _fixed(repository)
    shown, others = (_NONE, _OTHERS) if _hides(repository) else (_ALL, ())
    with _beside(functools.partial(_list, repository, settings, extra, others)) as listing:
        commit, branch, tracked, seen, modes = _status(repository, settings, extra, shown)
    if modes or any(change.kind == "retyped" for change in tracked):
        held = (*_held(repository), _UNHIDDEN)
        if len(held) < len(settings):
            settings = held
            commit, branch, tracked, seen, _ = _status(repository, settings, extra, shown)
            listing = [_list(repository, settings, extra, others)]
    untracked, flagged, links = listing[0]
    own = [*tracked, *_untracked(repository, [*seen, *untracked])]
    if flagged:
        with private_index(repository, flagged) as index:
            known = {change.path for change in tracked}
            _, _, unhidden, _, _ = _status(repository, settings, {**extra, **index})
            hidden = set(flagged)
            own += [Change(c.path, "flagged") for c in unhidden if c.path in hidden and c.path not in known]
    submodules = {}
    for path, recorded in links.items():
        inner = _submodule(repository / path)
        if inner is None:
            continue
        submodules[path] = inner
        if inner.commit != recorded:
            own.append(Change(path, "submodule"))
    own += [Change(f"{path}/", "untracked") for path in links if _strangers(repository / path)]
    return WorkingTree(commit, branch, tuple(dict.fromkeys(own)), tuple(flagged), submodules)


@contextmanager
def _beside(work: Callable[[], T]) -> Iterator[list[T]]:
    """Do `work` while the body runs: two processes of git on two processors; its result is there afterwards.

    Raises what `work` raises, unless the body has raised something itself.
    """
    found: list[T] = []
    failed: list[MitosisError | OSError] = []

    def run() -> None:
        try:
            found.append(work())
        except (MitosisError, OSError) as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="mitosis-git", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        thread.join()
    if failed:
        raise failed[0]


def refusal(repository: Path, tree: WorkingTree) -> DirtyRepository:
    """The error that names the changes of `tree` (at most ten files, then a count) and the ways out."""
    changes = sorted(tree.changes, key=lambda change: (list(_WORDS).index(change.kind), change.path))
    groups: dict[Kind, list[str]] = {}
    for change in changes[: git.NAMED]:
        groups.setdefault(change.kind, []).append(git.shown(change.path))
    parts = [f"{_WORDS[kind]}: {', '.join(paths)}" for kind, paths in groups.items()]
    if len(changes) > git.NAMED:
        parts.append(f"and {len(changes) - git.NAMED} more")
    count = "1 uncommitted change" if len(changes) == 1 else f"{len(changes)} uncommitted changes"
    return DirtyRepository(
        f"{count} in {git.shown(str(repository))} (commit {tree.commit[:7]}): " + "; ".join(parts),
        _ways_out(
            {change.kind for change in changes}, any(tree.submodules[p].changes for p in tree.submodules)
        ),
    )


def _ways_out(kinds: set[Kind], inside: bool) -> str:
    if "conflict" in kinds:
        return "solve the conflicts and commit, or abort what brought them (`git status` says how)"
    unhide = []
    if "flagged" in kinds:  # git obeys only the first of two such options
        unhide.append("git update-index --no-assume-unchanged FILE, git update-index --no-skip-worktree FILE")
    if "excluded" in kinds:
        unhide.append("git add -f FILE")
    see = {"mode": " -c core.fileMode=true", "retyped": " -c core.symlinks=true"}
    add = "git" + "".join(option for kind, option in see.items() if kind in kinds) + " add -A"
    where = ", in the submodules first" if inside else ""
    ways = [f"commit ({', '.join([*unhide, add, 'git commit'])}{where})"]
    if kinds & {"untracked", "excluded"}:
        ways.append("list what should not be versioned in .gitignore")
    if "submodule" in kinds:
        ways.append("return to the recorded commit (git submodule update)")
    return ", ".join(ways) + ", or run the files as they are: mitosis.on_dirty=snapshot"


@contextmanager
def private_index(repository: Path, flagged: tuple[str, ...] | list[str]) -> Iterator[dict[str, str]]:
    """A copy of the index without the flags on the paths `flagged`; yields the variables that select it."""
    with tempfile.TemporaryDirectory(prefix="mitosis-index-") as folder:
        index = Path(folder) / "index"
        with suppress(FileNotFoundError):  # no index at all: nothing is staged
            shutil.copy2(git.directory(repository) / "index", index)  # keeps the time that git compares with
        variables = {"GIT_INDEX_FILE": str(index)}
        paths = b"\0".join(os.fsencode(path) for path in flagged)
        for flag in ("--no-assume-unchanged", "--no-skip-worktree") if flagged else ():
            git.run(repository, "update-index", flag, "-z", "--stdin", stdin=paths, extra=variables)
        yield variables


def _strict(repository: Path) -> tuple[str, ...]:
    """Settings under which git sees modes, links and the case of names, whatever the user's say."""
    try:
        folded = (repository / ".GIT").samefile(repository / ".git")
    except OSError:
        folded = False
    # Where the file system folds case, git has to know, or every renamed file is two files.
    return ("core.fileMode=true", "core.symlinks=true", *(() if folded else ("core.ignoreCase=false",)))


def _held(repository: Path) -> tuple[str, ...]:
    """The settings of `_strict` that the file system can honour: on some every file is executable."""
    strict = list(_strict(repository))
    try:
        with tempfile.TemporaryDirectory(prefix="mitosis-probe-", dir=git.directory(repository)) as folder:
            probe = Path(folder) / "probe"
            probe.touch()
            modes = []
            for mode in (0o600, 0o700):
                probe.chmod(mode)
                modes.append(probe.stat().st_mode & 0o100)
            if modes[0] or not modes[1]:
                strict.remove("core.fileMode=true")
            try:
                (Path(folder) / "link").symlink_to("probe")
            except OSError:
                strict.remove("core.symlinks=true")
    except PermissionError:  # a read-only .git: nothing to be learnt, so nothing is forgiven
        pass
    return tuple(strict)


def _fixed(repository: Path) -> dict[str, str]:
    """Variables that stop git from taking a repository further up for a broken one at `repository`."""
    above = str(repository.parent)
    return {} if os.pathsep in above else {"GIT_CEILING_DIRECTORIES": above}


def _hides(repository: Path) -> bool:
    """Whether the repository's own info/exclude names any file (gitignore(5))."""
    path = git.common_directory(git.directory(repository)) / "info" / "exclude"
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # git will say what is wrong with it
    return any(line.strip() and not line.startswith(b"#") for line in lines)


def _status(
    repository: Path, settings: tuple[str, ...], extra: Mapping[str, str], untracked: str = _NONE
) -> tuple[str, str | None, list[Change], list[str], bool]:
    """Commit (empty: none yet), branch, changes of tracked files, untracked paths, any change of mode only.

    Reads the format of git-status(1), "Porcelain Format Version 2" with -z and without renames.
    """
    commit, branch, modes = "", None, False
    changes: list[Change] = []
    others: list[str] = []
    for record in git.run(repository, *_STATUS, untracked, settings=settings, extra=extra).split(b"\0"):
        line = os.fsdecode(record)
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ").replace("(initial)", "")
        elif line.startswith("# branch.head "):
            name = line.removeprefix("# branch.head ")
            branch = None if name == "(detached)" else name
        elif line.startswith("? "):
            others.append(line[2:])
        elif line.startswith("u "):
            changes.append(Change(line.split(" ", 10)[10], "conflict"))
        elif line.startswith("1 "):
            _, states, link, _, index, work, head_blob, index_blob, path = line.split(" ", 8)
            bit = states[1] == "M" and index != work
            modes = modes or bit
            only_mode = bit or (states[1] == "." and head_blob == index_blob)
            changes.append(Change(path, _kind(states, link, only_mode)))
    return commit, branch, changes, others, modes


def _kind(states: str, link: str, only_mode: bool) -> Kind:
    staged, changed = states[0], states[1]
    last = staged if changed == "." else changed
    if last in "DTA":
        return _LETTERS[last]
    if link.startswith("S"):
        return "submodule"
    if only_mode:
        return "mode"
    return "modified" if changed == "M" else "staged"


def _list(
    repository: Path, settings: tuple[str, ...], extra: Mapping[str, str], others: tuple[str, ...]
) -> tuple[list[str], list[str], dict[str, str]]:
    """Untracked paths, present paths that carry a hiding flag, and submodules with the staged commit.

    Reads the format of git-ls-files(1) with -v and --stage: `H 100644 <blob> 0<TAB>path`, `? path`.
    """
    untracked: list[str] = []
    flagged: list[str] = []
    links: dict[str, str] = {}
    listed = git.run(repository, *_LIST, *others, settings=settings, extra=extra)
    usual = (b"H 10", b"H 12")  # nearly all: tracked, and no flag on it
    ends = b"\0" + listed
    if ends.count(b"\0") == 1 + sum(ends.count(b"\0" + start) for start in usual):
        return untracked, flagged, links  # all: to make ten thousands of texts of it took longer than git
    for record in [record for record in listed.split(b"\0") if record and not record.startswith(usual)]:
        line = os.fsdecode(record)
        if line.startswith("? "):
            untracked.append(line[2:])
            continue
        words, _, path = line.partition("\t")
        tag, mode, identity, stage = words.split(" ")
        if tag.islower() or (tag == "S" and os.path.lexists(repository / path)):
            flagged.append(path)
        if mode == "160000" and stage == "0":
            links[path] = identity
    return untracked, flagged, links


def _untracked(repository: Path, paths: list[str]) -> list[Change]:
    """Untracked paths as changes; those that only the user's private lists ignore are told apart."""
    if not paths:
        return []
    answer = git.run(repository, "ls-files", "-z", "--others", "--exclude-standard")
    usual = {os.fsdecode(path) for path in answer.split(b"\0")}
    return [Change(path, "untracked" if path in usual else "excluded") for path in paths]


def _submodule(path: Path) -> WorkingTree | None:
    """The state of a submodule; None where it is not checked out (its files are just not there)."""
    if path.is_symlink() or not os.path.lexists(path / ".git"):
        return None
    return _look(path)


def _strangers(path: Path) -> bool:
    """Whether files lie in the place of a submodule that is not checked out: git shows none of them."""
    if path.is_symlink() or not path.is_dir() or os.path.lexists(path / ".git"):
        return False
    with os.scandir(path) as entries:
        return any(entries)
