"""Digests what a trial read and wrote, and names what changed meanwhile or is not the commit's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mitosis.capture import git, inputs, manifest, origins
from mitosis.errors import MitosisError
from mitosis.trial import CodeState, FileRecord

Taint = Callable[[str, str, str], None]  # kind, what, where
_NAMED_AT_ONCE = 200  # paths on one command line


class Names:
    """How files are called in a record: relative to the repository, or to the checkout, where inside."""

    def __init__(self, state: CodeState) -> None:
        tree, repository = state.tree or state.repository, state.repository
        self.pinned = tree != repository
        tops = [(tree, True), (repository, False)] if self.pinned else [(repository, False)]
        self._tops = [(t, real) for top, real in tops for t in dict.fromkeys((top, os.path.realpath(top)))]
        self._directories: dict[str, tuple[str, bool]] = {}

    def of(self, path: str) -> tuple[str, bool]:
        """The name of `path`, and whether it lies in the checkout."""
        directory, _, base = path.rpartition("/")
        found = self._directories.get(directory)
        if found is None:
            found = self._directories[directory] = self._prefix(directory)
        prefix, checkout = found
        return prefix + base, checkout

    def _prefix(self, directory: str) -> tuple[str, bool]:
        for candidate in dict.fromkeys((directory, os.path.realpath(directory))):
            for top, checkout in self._tops:
                if candidate == top or candidate.startswith(top + "/"):
                    below = candidate[len(top) + 1 :]
                    return (f"{below}/" if below else ""), checkout
        return directory + "/", False


def shown(name: str) -> str:
    """The name as the store holds it: a text."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def declared(
    directory: Path,
    records: Iterable[FileRecord],
    since_ns: int,
    cache: inputs.DigestCache | None,
    taint: Taint,
) -> None:
    """A declared input must be at the end what it was at the start, and untouched since (`since_ns`)."""
    for record in records:
        path = directory / record.path
        try:
            same = inputs.digest(path, cache) == record.digest
            touched = since_ns > 0 and inputs.newest_change(path) > since_ns
        except (MitosisError, OSError):
            taint("input_gone", "a declared input is not there any more", record.path)
            continue
        if not same:
            taint("input_changed", "a declared input changed while the trial ran", record.path)
        elif touched:
            taint("input_changed", "a declared input was touched while the trial ran", record.path)


def observed(
    state: CodeState,
    seen: Iterable[Mapping[str, Any]],
    known: Mapping[str, FileRecord],
    cache: inputs.DigestCache | None,
    taint: Taint,
    pinned: bool = False,
) -> tuple[FileRecord, ...]:
    """The records of the files that were read and are not `known` (declared), see kernel/watch.py.

    `pinned`: the declared ones lie in the checkout, and not in the repository.
    """
    names = Names(state)
    entries = list(seen)
    states = {e["path"]: tuple(e["state"]) for e in entries if "now" not in e}
    digests = inputs.digests(states, cache)
    records: dict[str, FileRecord] = {}
    own: set[str] = set()
    held = _Held(state)
    for entry in entries:
        path = entry["path"]
        name, checkout = names.of(path)
        digest = digests.get(path)
        size = entry["state"][2]
        if digest is None or "changed" in entry:
            digest, size = _as_it_is(path, name, cache, taint)
            if digest is None:
                continue
        if checkout and held.differs(name, digest):
            what = "a file of the checkout was read that is not the commit's"
            taint("input_not_committed", what, shown(name))
        if known and checkout is pinned and (name in known or any(name.startswith(f"{d}/") for d in known)):
            continue
        if not checkout and name[0] != "/":
            own.add(name)
        if name in records and records[name].digest != digest:
            name = path  # the checkout's and the working tree's
        records[name] = FileRecord(shown(name), digest, size, "observed")
    _tracked(state, own, taint)
    return tuple(records.values())


def _as_it_is(path: str, name: str, cache: inputs.DigestCache | None, taint: Taint) -> tuple[str | None, int]:
    """Digest and size of a file that is not, at the end, what it was when it was opened; that is a taint."""
    try:
        digest, size = inputs.digest(Path(path), cache), Path(path).stat().st_size
    except (MitosisError, OSError):
        taint("input_gone", "a file that was read is not there any more, or not to be read", shown(name))
        return None, 0
    taint("input_changed", "a file changed after the experiment had opened it", shown(name))
    return digest, size


class _Held:
    """What the checkout holds, by its manifest, which is read when it is first asked for."""

    def __init__(self, state: CodeState) -> None:
        self._tree = Path(state.tree or state.repository)
        self._entries: dict[str, manifest.Entry] | None = None

    def differs(self, name: str, digest: str) -> bool:
        if self._entries is None:
            self._entries = manifest.read(self._tree) or {}
        entry = self._entries.get(name)
        return entry is not None and entry.kind in ("file", "executable") and entry.content != digest


def _tracked(state: CodeState, names: set[str], taint: Taint) -> None:
    """Tracked files that were read from the working tree must be what the commit holds."""
    if not names:
        return
    repository = Path(state.repository)
    few = sorted(names) if len(names) <= _NAMED_AT_ONCE else []
    out = git.run(repository, "diff-index", "--name-only", "-z", "--no-renames", "--ignore-submodules=none",
                  state.commit, "--", *few)  # fmt: skip
    changed = {os.fsdecode(n) for n in out.split(b"\0") if n}
    # `diff-index` believes the flags assume-unchanged and skip-worktree, which `ls-files` shows
    for record in git.run(repository, "ls-files", "-z", "-v", "--", *few).split(b"\0"):
        tag, _, name = os.fsdecode(record).partition(" ")
        if tag.islower() or tag == "S":
            changed.add(name)
    doubtful = sorted(n for n in names if n in changed or any(n.startswith(f"{c}/") for c in changed))
    if not doubtful:
        return
    committed = origins.blobs(repository, state.commit, set(doubtful))
    there = [n for n in doubtful if n in committed and "\n" not in n]
    lines = "".join(f"{n}\n" for n in there)
    answer = git.run(repository, "hash-object", "--stdin-paths", stdin=os.fsencode(lines))
    now = dict(zip(there, answer.decode().split(), strict=True))
    for name in doubtful:
        if name in committed and now.get(name) != committed[name]:
            what = "a tracked file was read that is not what the commit holds"
            taint("input_not_committed", what, shown(name))


def outputs(
    state: CodeState, paths: Iterable[str], cache: inputs.DigestCache | None, taint: Taint
) -> tuple[FileRecord, ...]:
    """The records of the files that were written."""
    names = Names(state)
    states = {path: key for path in paths if (key := inputs.key(path)) is not None}
    records = []
    for path, digest in inputs.digests(states, cache).items():
        name = shown(names.of(path)[0])
        if digest is None:
            taint("output_gone", "a file that the experiment wrote could not be digested", name)
        else:
            records.append(FileRecord(name, digest, states[path].size, "output"))
    return tuple(records)
