"""Checkouts: read-only copies of one commit, made once, from which trials run while the user goes on editing.

Modes keep a user from writing into one by mistake; only its manifest finds what root, or a crash, did.
A tracked link that leads out of the repository by a relative path leads nowhere from a checkout.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mitosis.capture import git, manifest
from mitosis.errors import RepositoryRefused, TrialRefused


def place(root: Path, commit: str) -> Path:
    """Where the checkout of `commit` lies below the root of the trials."""
    return root / "checkouts" / commit


def checkout(repository: Path, commit: str, destination: Path) -> Path:
    """The checkout of `commit` at `destination`, made if it is not there yet, checked if it is.

    However many processes ask at once, one makes it and all get the same; it appears complete or not at
    all. Submodules are filled from what the repository has of them; one that was never fetched is left
    an empty directory, as git leaves it. Filters and line ends are git's own, by the commit's attributes.
    Raises RepositoryRefused where the commit (or a submodule's) is not in the repository, TrialRefused
    where the place cannot be written or the checkout is no longer what was made.
    """
    destination = destination.absolute()
    try:
        if not os.path.lexists(destination):
            _make_once(repository, commit, destination)
        wrong = manifest.damage(destination)
    except OSError as e:
        raise TrialRefused(
            f"the checkout {git.shown(str(destination))} cannot be made or read: {e.strerror or e}",
            "give yourself the right to it, free the disk, or choose another directory: mitosis.root=DIR",
        ) from e
    if wrong:
        quoted = git.quoted(str(destination))
        raise TrialRefused(
            f"the checkout {git.shown(str(destination))} is not what the commit holds: {git.listed(wrong)}",
            f"remove it, the next trial makes it again: chmod -R u+w {quoted} && rm -r {quoted}",
        )
    return destination


def share(repository: Path, destination: Path, names: Sequence[str]) -> None:
    """Link files and directories that git ignores from the working tree into the checkout (`mitosis.share`).

    `names` are relative to the repository. Where the commit holds a part of such a directory, the entries
    beside that part are linked. Raises TrialRefused for a name that is not there or leads out of the
    repository, and where the checkout shares the name with another working tree already.
    """
    wanted: dict[str, str] = {}
    for name in names:
        parts = Path(name).parts
        if not parts or Path(name).is_absolute() or ".." in parts or not os.path.lexists(repository / name):
            raise TrialRefused(
                f"mitosis.share: {git.shown(name)} is not in the repository {git.shown(str(repository))}",
                "name files or directories by their path from the top of the repository",
            )
        wanted.update(links_for(repository, destination, Path(*parts)))
    try:
        with _alone(destination):
            _share(destination, wanted)
    except OSError as e:
        raise TrialRefused(
            f"mitosis.share: no link can be made in {git.shown(str(destination))}: {e.strerror or e}",
            "use a root of your own: mitosis.root=DIR",
        ) from e


def link(destination: Path, links: Mapping[str, str]) -> None:
    """Put links (path in the checkout -> absolute target) into a checkout; its manifest says so.

    Raises TrialRefused where they cannot be made, or lead elsewhere already.
    """
    if not links:
        return
    try:
        with _alone(destination):
            _share(destination, links)
    except OSError as e:
        raise TrialRefused(
            f"no link can be made in {git.shown(str(destination))}: {e.strerror or e}",
            "give yourself the right to it, or choose another directory: mitosis.root=DIR",
        ) from e


def open_directories(destination: Path) -> None:
    """Let a trial that has this checkout to itself write new files; those of the commit stay read-only."""
    for folder, _, _ in os.walk(destination):
        Path(folder).chmod(0o755)


def discard(destination: Path) -> None:
    """Remove a checkout and its manifest; nobody sees half of it. Absent: nothing happens."""
    if not destination.parent.is_dir():
        return
    with _alone(destination):
        if destination.is_dir():
            aside = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
            destination.chmod(0o755)  # a directory that changes its parent has to be writable
            destination.rename(aside / "tree")
        manifest.beside(destination).unlink(missing_ok=True)
        _sweep(destination)


def _make_once(repository: Path, commit: str, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    with _alone(destination) as locked:
        if os.path.lexists(destination):
            return
        if locked:
            _sweep(destination)  # what a killed process left
        aside = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
        try:
            tree = aside / "tree"
            expected = _fill(_verified(repository, commit), commit, tree, aside / "index")
            entries = manifest.seal(tree)
            if entries.keys() != expected:
                odd = sorted(entries.keys() ^ expected)
                raise TrialRefused(
                    f"no room on this file system for {git.listed([git.shown(path) for path in odd])} "
                    "(names that differ only in case?)",
                    "choose a root on another file system: mitosis.root=DIR",
                )
            manifest.write(destination, entries)
            try:
                tree.rename(destination)
            except OSError as e:
                # Without locks (some network file systems) another process can have been faster.
                if e.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            destination.chmod(0o555)
        finally:
            _remove(aside)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the objects of a repository are, and its working tree where it has one."""

    directory: Path
    tree: Path | None


def _verified(repository: Path, commit: str) -> _Source:
    name = f"{commit}^{{commit}}"
    answer = git.attempt(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", name)
    if answer.returncode != 0:
        raise RepositoryRefused(
            f"commit {commit[:7]} is not in the repository {git.shown(str(repository))}",
            "fetch it from the remote that has it: git fetch",
        )
    return _Source(git.directory(repository), repository)


def _fill(source: _Source, commit: str, tree: Path, index: Path) -> set[str]:
    """Write the files of `commit` into the new directory `tree`; return their paths."""
    tree.mkdir(parents=True, exist_ok=True)
    variables = {"GIT_DIR": str(source.directory), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(index)}
    # Not `checkout-index --prefix`: that takes .gitattributes from the user's present files.
    git.run(source.directory, "read-tree", "-m", "-u", "--no-sparse-checkout", commit, extra=variables,
            settings=("core.symlinks=true", "core.fileMode=true"))  # fmt: skip
    listed = git.run(source.directory, "ls-files", "-z", "--stage", extra=variables)
    paths, links = set(), {}
    for record in filter(None, os.fsdecode(listed).split("\0")):
        words, _, path = record.partition("\t")
        mode, identity, _ = words.split(" ")
        if mode == "160000":
            links[path] = identity
        else:
            paths.add(path)
    names = _submodule_names(tree) if links else {}
    for number, (path, inner) in enumerate(links.items()):
        store = _store(source, path, names.get(path), inner)
        if store is not None:
            below = _fill(store, inner, tree / path, index.with_name(f"{index.name}.{number}"))
            paths |= {f"{path}/{name}" for name in below}
    return paths


def _submodule_names(tree: Path) -> dict[str, str]:
    """The names of submodules by path, gitmodules(5)."""
    file = tree / ".gitmodules"
    if file.is_symlink() or not file.is_file():
        return {}
    answer = git.attempt(tree, "config", "-z", "-f", str(file), "--get-regexp", r"^submodule\..*\.path$")
    pairs = (entry.partition("\n") for entry in os.fsdecode(answer.stdout).split("\0"))
    return {path: key.removeprefix("submodule.").removesuffix(".path") for key, found, path in pairs if found}


def _store(source: _Source, path: str, name: str | None, commit: str) -> _Source | None:
    """The repository that holds `commit` of the submodule at `path`; None where it was never fetched."""
    candidates = []
    if source.tree is not None and os.path.lexists(source.tree / path / ".git"):
        candidates.append(_Source(git.directory(source.tree / path), source.tree / path))
    if name and ".." not in Path(name).parts and not Path(name).is_absolute():
        shared = git.common_directory(source.directory)
        candidates += [_Source(home / "modules" / name, None) for home in (source.directory, shared)]
    candidates = [candidate for candidate in candidates if candidate.directory.is_dir()]
    for candidate in candidates:
        # A working tree has to be named: the one that the submodule's configuration names may be gone.
        where = {"GIT_DIR": str(candidate.directory), "GIT_WORK_TREE": str(candidate.directory)}
        if not git.attempt(
            candidate.directory, "cat-file", "-e", f"{commit}^{{commit}}", extra=where
        ).returncode:
            return candidate
    if candidates:
        raise RepositoryRefused(
            f"commit {commit[:7]} of the submodule {git.shown(path)} is not here",
            "fetch it: git submodule update --init --recursive",
        )
    return None


def _share(destination: Path, wanted: Mapping[str, str]) -> None:
    known = manifest.read(destination) or {}
    new = {}
    for path, target in wanted.items():
        if path not in known:
            new[path] = manifest.Entry("shared", target)
        elif known[path].kind == "shared" and known[path].content != target:
            raise TrialRefused(
                f"mitosis.share: the checkout already shares {git.shown(path)} with "
                f"{git.shown(known[path].content)}",
                "use a root of its own for this working tree: mitosis.root=DIR",
            )
    if new:
        manifest.write(destination, {**known, **new})
    for path, target in wanted.items():
        if not os.path.lexists(destination / path):
            _link(destination, path, target)


def links_for(repository: Path, destination: Path, name: Path) -> dict[str, str]:
    """Links (path in the checkout -> absolute target) that share `name`, around what the commit holds."""
    here, there = repository / name, destination / name
    if not os.path.lexists(there) or there.is_symlink():
        return {name.as_posix(): str(here)}
    if not here.is_dir():
        return {}  # a tracked file is in the checkout already
    links = {}
    for entry in here.iterdir():
        links.update(links_for(repository, destination, name / entry.name))
    return links


def _link(destination: Path, path: str, target: str) -> None:
    missing = [above for above in (destination / path).parents if not above.is_dir()]
    ground = (missing[-1] if missing else destination / path).parent
    mode = stat.S_IMODE(ground.stat().st_mode)
    ground.chmod(mode | 0o200)
    try:
        (destination / path).parent.mkdir(parents=True, exist_ok=True)
        (destination / path).symlink_to(target)
    finally:
        for above in missing:
            above.chmod(0o555)
        ground.chmod(mode)


@contextmanager
def _alone(destination: Path) -> Iterator[bool]:
    """Hold the lock of one checkout; yields False where the file system has no locks."""
    path = destination.with_name(f".{destination.name}.lock")
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as e:
            if e.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                file.close()
                raise
            with file:
                yield False
            return
        try:
            current = path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            current = False
        if current:
            break
        file.close()  # its last holder removed it while this process waited
    with file:
        try:
            yield True
        finally:
            path.unlink(missing_ok=True)


def _sweep(destination: Path) -> None:
    """Remove what makers or removers of this checkout left half done; only under its lock."""
    for debris in destination.parent.iterdir():
        if not debris.name.startswith(f".{destination.name}.") or debris.name.endswith(".lock"):
            continue
        if debris.is_dir() and not debris.is_symlink():
            _remove(debris)
        else:
            debris.unlink()


def _remove(tree: Path) -> None:
    for folder, _, _ in os.walk(tree):
        Path(folder).chmod(0o755)  # a read-only directory does not let its entries go
    shutil.rmtree(tree)
