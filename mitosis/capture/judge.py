"""Compares what a trial loaded, read and wrote with what its record says, and names each difference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitosis.capture import distributions, inputs, origins, reads
from mitosis.trial import CodeState, FileRecord, ModuleRecord, Remark

blobs = origins.blobs


@dataclass(frozen=True, slots=True)
class Findings:
    """What is proven of a trial, and what is not."""

    modules: tuple[ModuleRecord, ...] = ()
    code_identity: str = ""
    inputs: tuple[FileRecord, ...] = ()
    outputs: tuple[FileRecord, ...] = ()
    taints: tuple[Remark, ...] = ()


def judge(
    state: CodeState,
    declared: Iterable[FileRecord],
    seen: Mapping[str, Any],
    cache: inputs.DigestCache | None,
    since_ns: int = 0,
    data: Path | None = None,
) -> Findings:
    """The findings on a trial whose guard has `seen` {modules, installed, inputs, outputs}, see kernel/guard.

    `declared` are the inputs as they were digested before the trial, which began at `since_ns`, nanoseconds
    since 1970; 0: not known. `data` is what their relative paths are relative to, by default the
    repository. Raises RepositoryRefused where git cannot tell.
    """
    taints: list[Remark] = []

    def taint(kind: str, what: str, where: str) -> None:
        taints.append(Remark(kind, what, where))

    modules = origins.origins(state, seen.get("modules", ()), taint)
    distributions.check(seen.get("installed", {}), cache, taint)
    known = {record.path: record for record in declared}
    reads.declared(data or Path(state.repository), known.values(), since_ns, cache, taint)
    pinned = data is not None and str(data) != state.repository
    observed = reads.observed(state, seen.get("inputs", ()), known, cache, taint, pinned)
    outputs = reads.outputs(state, seen.get("outputs", ()), cache, taint)
    return Findings(modules, _identity(modules), observed, outputs, tuple(dict.fromkeys(taints)))


def _identity(modules: Iterable[ModuleRecord]) -> str:
    """The digest of the set of (path, blob) of the repository's own modules."""
    own = sorted({(m.path, m.blob) for m in modules if not m.path.startswith("/")})
    text = json.dumps(own, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() if own else ""
