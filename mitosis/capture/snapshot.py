"""The working tree as it is, kept as a commit that touches neither branch nor index nor files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mitosis.capture import git
from mitosis.capture.changes import WorkingTree, look, private_index
from mitosis.capture.code import describe
from mitosis.errors import DirtyRepository, RepositoryRefused
from mitosis.trial import CodeState

SNAPSHOTS = "refs/mitosis/snapshots"
"""Where the refs of snapshots lie: one per snapshot, named by its hash."""


def snapshot(repository: Path, max_file: int) -> CodeState:
    """The code of the working tree, untracked files included, as a commit whose parent is HEAD.

    The same files on the same HEAD give the same commit. Where nothing differs, this is the state of
    HEAD itself. A changed submodule gets a snapshot of its own, to which the commit points.
    `max_file` is the largest size, in bytes, of a file that is not in the commit already; larger ones
    are refused by name (DirtyRepository). Raises RepositoryRefused where git cannot write.
    """
    tree = look(repository)
    if not tree.changes:
        return describe(repository, tree.commit, tree.branch)
    _refuse_large(repository, tree, max_file)
    return describe(repository, _commit(repository, tree), tree.branch, dirty=True)


def short_diff(repository: Path, commit: str) -> str:
    """What a snapshot changed against its parent: one line per file and a total, as `git diff --stat`."""
    answer = git.run(repository, "diff-tree", "--stat=100", "--no-color", "--no-ext-diff", "--no-textconv",
                     "-M", "-r", f"{commit}^", commit, settings=("core.quotePath=false",))  # fmt: skip
    return answer.decode(errors="replace")


def _present(top: Path, path: str) -> bool:
    """Whether a file or link lies at `path` itself, not behind a link that took a directory's place."""
    file = top / path
    try:
        mode = file.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    behind = any(above.is_symlink() for above in file.parents if above != top and above.is_relative_to(top))
    return not stat.S_ISDIR(mode) and not behind


def _refuse_large(repository: Path, tree: WorkingTree, max_file: int) -> None:
    large = sorted(
        change.path
        for change in tree.changes
        if _present(repository, change.path) and (repository / change.path).lstat().st_size > max_file
    )
    if not large:
        return
    names = git.listed([git.shown(path) for path in large])
    raise DirtyRepository(
        f"too large for a snapshot (over {max_file / 1e6:g} MB each): {names}",
        "name them in .gitignore (and in experiment.inputs, where the experiment reads them), commit them, "
        "or raise mitosis.snapshot_max_file",
    )


def _commit(repository: Path, tree: WorkingTree) -> str:
    """Store the files of one working tree, its submodules first, and return the hash of the commit."""
    links = {
        path: _commit(repository / path, inner) for path, inner in tree.submodules.items() if inner.changes
    }
    links.update({path: inner.commit for path, inner in tree.submodules.items() if path not in links})
    files, gone = [], []
    for change in tree.own:
        if change.path.rstrip("/") in links:
            continue
        if change.path.endswith("/"):
            path = change.path.rstrip("/")
            links[path] = _nested(repository / path)
        elif _present(repository, change.path):
            files.append(change.path)
        else:
            gone.append(change.path)
    entries = [f"0 {'0' * len(tree.commit)}\t{path}" for path in gone]
    entries += [f"160000 {commit}\t{path}" for path, commit in links.items()]
    flagged = [path for path in tree.flagged if path in set(files)]
    with private_index(repository, flagged) as index:
        _update(repository, entries, index, "--index-info")
        _update(repository, files, index, "--add", "--remove", "--replace", "--stdin")
        written = git.run(repository, "write-tree", extra=index).decode().strip()
    return _store(repository, tree.commit, written)


def _nested(path: Path) -> str:
    """The commit for an untracked repository inside the repository: its HEAD, or a snapshot of it."""
    if not os.path.lexists(path / ".git"):
        raise RepositoryRefused(
            f"files lie in {git.shown(str(path))}, the place of a submodule that is not checked out",
            "move them away and run git submodule update --init, or git rm the submodule",
        )
    inner = look(path)
    return _commit(path, inner) if inner.changes else inner.commit


def _update(repository: Path, entries: list[str], index: dict[str, str], *options: str) -> None:
    if entries:
        lines = b"".join(os.fsencode(entry) + b"\0" for entry in entries)
        settings = ("core.fileMode=true", "core.symlinks=true")
        git.run(repository, "update-index", "-z", *options, stdin=lines, extra=index, settings=settings)


def _store(repository: Path, parent: str, tree: str) -> str:
    # The parent's date and a name of ours: the commit is a function of the files, whoever runs and when.
    date = git.run(repository, "show", "-s", "--no-show-signature", "--format=%cd", "--date=raw", parent)
    person = {"NAME": "mitosis", "EMAIL": "mitosis@localhost", "DATE": "@" + date.decode().strip()}
    extra = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in person.items()}
    message = b"Snapshot of the working tree by mitosis\n"
    settings = ("i18n.commitEncoding=utf-8",)
    made = git.run(repository, "commit-tree", "--no-gpg-sign", "-p", parent, tree,
                   stdin=message, extra=extra, settings=settings)  # fmt: skip
    commit = made.decode().strip()
    git.run(repository, "update-ref", f"{SNAPSHOTS}/{commit}", commit)
    return commit
