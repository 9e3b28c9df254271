"""Says of each module that a trial loaded which commit holds its bytes, and names those that none holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mitosis.capture import code, distributions, git, manifest
from mitosis.errors import RepositoryRefused
from mitosis.trial import CodeState, ModuleRecord

_NAMED_AT_ONCE = 200  # paths on one command line; more of them are looked up in the whole tree

Taint = Callable[[str, str, str], None]  # kind, what, where
Module = Mapping[str, str]  # name, path, blob, kind: see kernel/loading.py


def origins(state: CodeState, loaded: Iterable[Module], taint: Taint) -> tuple[ModuleRecord, ...]:
    """The record of each module that was loaded; `taint` is told of what is not proven."""
    tree, repository = Path(state.tree or state.repository), Path(state.repository)
    listed = list(loaded)
    inside = {p: r for p in {m["path"] for m in listed} if (r := _relative(tree, p)) is not None}
    committed = blobs(repository, state.commit, set(inside.values()))
    own = _Own(repository, tree, committed, taint)
    strangers = _Strangers([m for m in listed if m["path"] not in inside], taint)
    records = []
    for module in listed:
        path, blob = module["path"], module["blob"]
        name = inside.get(path)
        if name is not None:
            origin = own.origin(module, name)
            blob = committed[name] if origin == "commit" else blob
        elif module["kind"] == "startup":
            name, origin = path, "startup"
            taint("code_startup", f"{module['name']} ran in the kernel before the experiment", path)
        elif tree != repository and (held := _relative(repository, path)) is not None:
            name, origin = held, "working tree"
            what = f"module {module['name']} came from the working tree, not from the checkout of the commit"
            taint("code_unpinned", what, name)
        else:
            name, origin = path, strangers.origin(module)
        records.append(ModuleRecord(module["name"], name, blob, origin))
    return tuple(dict.fromkeys(records))


def _relative(tree: Path, path: str) -> str | None:
    """The path inside `tree` of the file that `path` really is; None where it lies elsewhere."""
    real, top = os.path.realpath(path), os.path.realpath(tree)
    return os.path.relpath(real, top) if real.startswith(top + os.sep) else None


def _sourceless(module: Module, path: str, taint: Taint) -> str:
    taint("code_sourceless", f"module {module['name']} was loaded from bytecode without its source", path)
    return "sourceless"


@dataclass(frozen=True, slots=True)
class _Own:
    """The modules of the repository itself."""

    repository: Path
    tree: Path
    committed: Mapping[str, str]
    taint: Taint

    def origin(self, module: Module, path: str) -> str:
        """The origin of a module inside the tree; taints what is not the commit's."""
        name, committed = module["name"], self.committed.get(path)
        if module["kind"] == "built":
            return "built"
        if module["kind"] == "sourceless":
            return _sourceless(module, path, self.taint)
        if committed is None:
            what = f"module {name} is not in the commit: git ignores its file, or it is new"
            self.taint("code_untracked", what, path)
            return "untracked"
        if module["blob"] != committed and not self._as_committed(module, path, committed):
            what = f"module {name} was loaded with other content than the commit holds"
            self.taint("code_changed", what, path)
            return "changed"
        if module["kind"] == "unwatched":
            what = f"module {name} was loaded by other means than Python's own: its bytes are not known"
            self.taint("code_unwatched", what, path)
            return "unwatched"
        return "commit"

    def _as_committed(self, module: Module, path: str, committed: str) -> bool:
        """Are the bytes what git makes of the commit's when it writes the file (line ends, LFS, ident).

        What git would make of the file when it is added is no proof: a filter that cleans can hide any edit.
        """
        try:
            content = (self.tree / path).read_bytes()
        except OSError:
            return False
        if blob(content) != module["blob"]:
            return False  # it has changed since: nobody has the bytes that were loaded
        if self.tree != self.repository:
            entry = (manifest.read(self.tree) or {}).get(path)
            return entry is not None and entry.content == hashlib.sha256(content).hexdigest()
        algorithm = "sha1" if len(committed) == 40 else "sha256"
        if committed in (blob(content, algorithm), blob(content.replace(b"\r\n", b"\n"), algorithm)):
            return True
        answer = git.attempt(self.repository, "cat-file", "--filters", f"--path={path}", committed)
        return answer.returncode == 0 and answer.stdout == content


def blob(content: bytes, algorithm: str = "sha1") -> str:
    """The id that git gives a file with this content (git's object format: a header, then the bytes)."""
    return hashlib.new(algorithm, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class _Strangers:
    """The modules from outside of the tree: of other repositories, of distributions, or of nobody."""

    def __init__(self, modules: Sequence[Module], taint: Taint) -> None:
        self._taint = taint
        self._top = {m["path"]: _repository_of(m["path"]) for m in modules}
        self._commit: dict[Path, tuple[str, str, dict[str, str]]] = {}  # project, commit, blobs
        self._refused: dict[Path, str] = {}
        for top in {t for t in self._top.values() if t is not None}:
            self._look(top, {os.path.realpath(p) for p, t in self._top.items() if t == top})

    def _look(self, top: Path, paths: set[str]) -> None:
        try:
            commit = git.run(top, "rev-parse", "HEAD").decode().strip()
            held = blobs(top, commit, {os.path.relpath(p, top) for p in paths})
            self._commit[top] = (code.project(top), commit, held)
        except RepositoryRefused as error:
            self._refused[top] = error.what

    def origin(self, module: Module) -> str:
        """`project@commit`, `name version` of a distribution, "built", or "outside"; the last is a taint."""
        name, path = module["name"], module["path"]
        if module["kind"] == "sourceless":
            return _sourceless(module, path, self._taint)
        top = self._top[path]
        owner = distributions.owner(path, module["blob"])
        if owner is not None:
            return owner
        if top is None and module["kind"] == "built":
            return "built"
        if top is None:
            what = f"module {name} lies outside of the repository, where no commit holds it"
            self._taint("code_outside", what, path)
            return "outside"
        if top in self._refused:
            self._taint("code_outside", f"module {name}: {self._refused[top]}", path)
            return "outside"
        project, commit, held = self._commit[top]
        known = held.get(os.path.relpath(os.path.realpath(path), top))
        if module["kind"] != "built" and module["blob"] != known:
            what = f"module {name} is not what commit {commit[:7]} of the repository {top} holds"
            self._taint("other_code_changed", what, path)
        return f"{project}@{commit}"


def _repository_of(path: str) -> Path | None:
    return next((p for p in Path(os.path.realpath(path)).parents if os.path.lexists(p / ".git")), None)


def blobs(repository: Path, commit: str, paths: set[str], below: str = "") -> dict[str, str]:
    """The blob ids that `commit` holds for `paths`, submodules' files by their own commits."""
    if not paths:
        return {}
    found: dict[str, str] = {}
    links: dict[str, str] = {}
    few = sorted(paths) if len(paths) <= _NAMED_AT_ONCE else []
    out = git.run(repository, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *few)
    for entry in out.split(b"\0"):
        kind, _, name = entry.partition(b"\t")
        parts = kind.split()
        if len(parts) == 3 and parts[1] == b"blob":
            found[below + os.fsdecode(name)] = parts[2].decode()
        elif len(parts) == 3 and parts[1] == b"commit":
            links[os.fsdecode(name)] = parts[2].decode()
    if (repository / ".gitmodules").is_file() and not links:
        links = git.links(repository, commit)
    for link, inner in links.items():
        deeper = {p[len(link) + 1 :] for p in paths if p.startswith(link + "/")}
        if deeper and os.path.lexists(repository / link / ".git"):
            found |= blobs(repository / link, inner, deeper, f"{below}{link}/")
    return found
