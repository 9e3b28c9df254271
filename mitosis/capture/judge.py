"""Compares what a trial loaded, read and wrote with what its record says, and names each difference."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mitosis.capture import code, git, inputs
from mitosis.errors import MitosisError, RepositoryRefused
from mitosis.trial import CodeState, FileRecord, ModuleRecord, Remark

_NAMED_AT_ONCE = 200  # paths on one command line; more of them are looked up in the whole tree


@dataclass(frozen=True, slots=True)
class Findings:
    """What is proven of a trial, and what is not."""

    modules: tuple[ModuleRecord, ...] = ()
    code_identity: str = ""
    inputs: tuple[FileRecord, ...] = ()
    outputs: tuple[FileRecord, ...] = ()
    taints: tuple[Remark, ...] = ()


@dataclass(slots=True)
class _Judge:
    """The state of one judgement."""

    state: CodeState
    cache: inputs.DigestCache | None
    taints: list[Remark] = field(default_factory=list)
    strangers: dict[Path, dict[str, str]] = field(default_factory=dict)  # other repositories' blobs

    @property
    def tree(self) -> Path:
        return Path(self.state.tree or self.state.repository)

    @property
    def repository(self) -> Path:
        return Path(self.state.repository)

    def taint(self, kind: str, what: str, where: str) -> None:
        self.taints.append(Remark(kind, what, where))


def judge(
    state: CodeState,
    declared: Iterable[FileRecord],
    seen: Mapping[str, Any],
    cache: inputs.DigestCache | None,
) -> Findings:
    """The findings on a trial whose guard has `seen` {modules, inputs, outputs}; see kernel/guard.py.

    `declared` are the inputs as they were digested before the trial.
    """
    judged = _Judge(state, cache)
    modules = _modules(judged, seen.get("modules", ()))
    known = {record.path: record for record in declared}
    _declared(judged, known.values())
    observed = _observed(judged, seen.get("inputs", ()), known)
    outputs = tuple(
        r for path in seen.get("outputs", ()) if (r := _record(judged, Path(path), "output")) is not None
    )
    return Findings(modules, _identity(modules), observed, outputs, tuple(judged.taints))


def _identity(modules: Iterable[ModuleRecord]) -> str:
    """The digest of the set of (path, blob) of the repository's own modules."""
    own = sorted({(m.path, m.blob) for m in modules if not os.path.isabs(m.path)})  # noqa: PTH117
    text = json.dumps(own, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() if own else ""


# --- code ---------------------------------------------------------------------------------------------


def _modules(judged: _Judge, loaded: Iterable[Mapping[str, str]]) -> tuple[ModuleRecord, ...]:
    listed = list(loaded)
    inside = {m["path"]: r for m in listed if (r := _relative(judged.tree, Path(m["path"]))) is not None}
    committed = blobs(judged.repository, judged.state.commit, set(inside.values()))
    records = []
    for module in listed:
        path = Path(module["path"])
        if module["path"] in inside:
            name = inside[module["path"]]
            origin = _own(judged, module, name, committed.get(name))
        elif judged.tree != judged.repository and path.is_relative_to(judged.repository):
            name, origin = str(path.relative_to(judged.repository)), "working tree"
            judged.taint(
                "code_unpinned",
                f"module {module['name']} came from the working tree, not from the checkout of the commit",
                name,
            )
        else:
            name, origin = str(path), _foreign(judged, module, path)
        records.append(ModuleRecord(module["name"], name, module["blob"], origin))
    return tuple(records)


def _relative(tree: Path, path: Path) -> str | None:
    """The path inside `tree` of the file that `path` really is; None where it lies elsewhere."""
    real, top = os.path.realpath(path), os.path.realpath(tree)
    if real.startswith(top + os.sep):
        return os.path.relpath(real, top)
    return None


def _own(judged: _Judge, module: Mapping[str, str], path: str, committed: str | None) -> str:
    """The origin of a module inside the tree; taints what is not the commit's."""
    name = module["name"]
    if module["kind"] == "built":
        return "built"
    if module["kind"] == "sourceless":
        judged.taint("code_sourceless", f"module {name} was loaded from bytecode without its source", path)
        return "sourceless"
    if committed is None:
        judged.taint("code_untracked", f"module {name} is not in the commit: git ignores its file", path)
        return "untracked"
    if module["blob"] == committed or _same_to_git(judged, module, path, committed):
        return "commit"
    judged.taint("code_changed", f"module {name} was loaded with other content than the commit holds", path)
    return "changed"


def _same_to_git(judged: _Judge, module: Mapping[str, str], path: str, committed: str) -> bool:
    """Are the bytes the commit's after git's clean filter (line ends, LFS), and still those in the file."""
    file = judged.tree / path
    try:
        content = file.read_bytes()
    except OSError:
        return False
    now = hashlib.new("sha1", b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if now != module["blob"]:
        return False
    answer = git.attempt(judged.repository, "hash-object", f"--path={path}", "--stdin", stdin=content)
    return answer.returncode == 0 and answer.stdout.decode().strip() == committed


def _foreign(judged: _Judge, module: Mapping[str, str], path: Path) -> str:
    """The origin of a module outside of the tree: another repository's commit, or nobody's word."""
    name = module["name"]
    top = next((p for p in path.resolve().parents if os.path.lexists(p / ".git")), None)
    if module["kind"] == "sourceless":
        judged.taint(
            "code_sourceless", f"module {name} was loaded from bytecode without its source", str(path)
        )
        return "sourceless"
    if top is None:
        judged.taint(
            "code_outside",
            f"module {name} lies outside of the repository, where no commit holds it",
            str(path),
        )
        return "outside"
    try:
        commit = git.run(top, "rev-parse", "HEAD").decode().strip()
        relative = str(path.resolve().relative_to(top))
        committed = judged.strangers.setdefault(top, {})
        if relative not in committed:
            committed |= blobs(top, commit, {relative})
        project = code.project(top)
    except RepositoryRefused as error:
        judged.taint("code_outside", f"module {name}: {error.what}", str(path))
        return "outside"
    if module["kind"] != "built" and committed.get(relative) != module["blob"]:
        judged.taint(
            "other_code_changed",
            f"module {name} is not what commit {commit[:7]} of the repository {top} holds",
            str(path),
        )
    return f"{project}@{commit}"


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


# --- data ---------------------------------------------------------------------------------------------


def _declared(judged: _Judge, records: Iterable[FileRecord]) -> None:
    """A declared input must be at the end what it was at the start."""
    for record in records:
        path = judged.repository / record.path
        try:
            same = inputs.digest(path, judged.cache) == record.digest
        except MitosisError:
            judged.taint("input_gone", "a declared input is not there any more", record.path)
            continue
        if not same:
            judged.taint("input_changed", "a declared input changed while the trial ran", record.path)


def _observed(
    judged: _Judge, seen: Iterable[Mapping[str, Any]], declared: Mapping[str, FileRecord]
) -> tuple[FileRecord, ...]:
    records = []
    for entry in seen:
        path = Path(entry["path"])
        name = _shown(judged, path)
        if name in declared or any(name.startswith(f"{d}/") for d in declared):
            continue
        try:
            status = path.stat()
        except OSError:
            judged.taint("input_gone", "a file that was read is not there any more", name)
            continue
        now = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        if now != list(entry["state"]):
            judged.taint("input_changed", "a file changed after the experiment had opened it", name)
        record = _record(judged, path, "observed")
        if record is not None:
            records.append(record)
    _check_tracked(judged, {r.path for r in records})
    return tuple(records)


def _check_tracked(judged: _Judge, names: set[str]) -> None:
    """Tracked files that were read from the working tree must be what the commit holds."""
    own = {n for n in names if not os.path.isabs(n) and (judged.repository / n).exists()}  # noqa: PTH117
    if not own:
        return
    answer = git.attempt(judged.repository, "diff-index", "--name-only", "-z", judged.state.commit)
    changed = {os.fsdecode(n) for n in answer.stdout.split(b"\0") if n}
    for name in sorted(own & changed):
        judged.taint("input_not_committed", "a tracked file was read that is not what the commit holds", name)


def _record(judged: _Judge, path: Path, kind: str) -> FileRecord | None:
    try:
        return FileRecord(_shown(judged, path), inputs.digest(path, judged.cache), path.stat().st_size, kind)
    except (MitosisError, OSError):
        judged.taint(
            f"{'output' if kind == 'output' else 'input'}_gone", "a file could not be digested", str(path)
        )
        return None


def _shown(judged: _Judge, path: Path) -> str:
    """Relative to the repository, or to the checkout, where inside; else absolute."""
    for top in (judged.tree, judged.repository):
        if path.is_relative_to(top):
            return str(path.relative_to(top))
    return str(path)
