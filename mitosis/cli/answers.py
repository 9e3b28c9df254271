"""The JSON that scripts read: the documented keys of a trial, and one strict document on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mitosis import identity
from mitosis.folder import TrialFolder
from mitosis.trial import JSON, Attestation, CodeState, Remark, Summary, Trial, plain, strict


def emit(document: JSON) -> None:
    """Print exactly one strict JSON document: null for what is no finite number."""
    json.dump(strict(document), sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def parameters(text: str) -> JSON:
    """The resolved configuration out of its canonical text."""
    return identity.parse(text)


def line(summary: Summary) -> dict[str, Any]:
    """The keys of a trial that `ls --json` gives."""
    folder = TrialFolder(summary.folder)
    return {
        "id": summary.id,
        "experiment": summary.experiment,
        "variant": summary.variant,
        "params": parameters(summary.params),
        "param_set": summary.param_set,
        "seed": summary.seed,
        "status": summary.status.value,
        "main": summary.main,
        "metrics": dict(summary.metrics),
        "commit": summary.commit,
        "branch": summary.branch,
        "dirty": summary.dirty,
        "started_at": summary.started_at,
        "seconds": summary.seconds,
        "cpu_seconds": summary.cpu_seconds,
        "sweep": summary.sweep,
        "folder": str(folder.path),
        "notebook": _existing(folder.notebook),
        "html": _existing(folder.html),
        "note": summary.note,
        "tags": list(summary.tags),
        "expectation": summary.expectation or None,
        "removed": summary.removed,
    }


def whole(
    trial: Trial, environment: JSON, attestations: Sequence[Attestation] = (), removed: bool = False
) -> dict[str, Any]:
    """The keys of a trial that `show --json` gives: those of `line`, and everything else recorded."""
    spec, outcome = trial.spec, trial.outcome
    folder = TrialFolder(spec.folder)
    return {
        **line(summary_of(trial, removed)),
        "code": _code(spec.code),
        "inputs": [plain(i) for i in (*spec.inputs, *(outcome.inputs if outcome else ()))],
        "outputs": [plain(o) for o in outcome.outputs] if outcome else [],
        "environment": {"digest": spec.environment, "content": environment},
        "code_identity": outcome.code_identity if outcome else None,
        "lookups": [plain(x) for x in outcome.lookups] if outcome else [],
        "modules": [plain(m) for m in outcome.modules] if outcome else [],
        "threads": list(outcome.threads) if outcome else [],
        "figures": [str(folder.figures / f) for f in outcome.figures] if outcome else [],
        "error": plain(outcome.error) if outcome and outcome.error else None,
        "recipe": {
            "module": spec.module,
            "function": spec.function,
            "param_set": spec.param_set.digest,
            "seed": spec.seed,
            "commit": spec.code.commit,
            "inputs": {i.path: i.digest for i in spec.inputs},
            "environment": spec.environment,
        },
        "overrides": list(spec.overrides),
        "host": spec.process.host,
        "engine": dict(spec.process.engine),
        "variables": dict(spec.variables),
        "study": spec.study,
        "taints": _remarks(outcome.taints if outcome else ()),
        "notes": _remarks((*spec.notes, *(outcome.notes if outcome else ()))),
        "variants": [{"name": v.name, "version": v.version, "digest": v.digest} for v in spec.variants],
        "expect": dict(spec.expect),
        "job": spec.job,
        "finished_at": outcome.finished_at if outcome else None,
        "result": _existing(folder.result),
        "attestations": [plain(a) for a in attestations],
    }


def summary_of(trial: Trial, removed: bool = False) -> Summary:
    """The line of `ls` for a whole trial; whether it lies in the trash the store knows (`Store.removed`)."""
    spec, outcome = trial.spec, trial.outcome
    return Summary(
        id=spec.id,
        project=spec.code.project,
        experiment=spec.experiment,
        variant=spec.variant,
        params=spec.params,
        param_set=spec.param_set.digest,
        seed=spec.seed,
        status=trial.status,
        main=outcome.main if outcome else None,
        metrics=outcome.metrics if outcome else {},
        commit=spec.code.commit,
        branch=spec.code.branch,
        dirty=spec.code.dirty,
        started_at=spec.started_at,
        seconds=outcome.seconds if outcome else None,
        cpu_seconds=outcome.cpu_seconds if outcome else None,
        sweep=spec.sweep,
        job=spec.job,
        folder=spec.folder,
        note=spec.note,
        tags=spec.tags,
        taints=len(outcome.taints) if outcome else 0,
        code_identity=outcome.code_identity if outcome else "",
        expectation=outcome.expectation if outcome else "",
        removed=removed,
    )


def _code(code: CodeState) -> dict[str, Any]:
    return {
        "commit": code.commit,
        "branch": code.branch,
        "dirty": code.dirty,
        "project": code.project,
        "remote": code.remote,
        "pushed": code.pushed,
        "repository": code.repository,
        "tree": code.tree or code.repository,
    }


def _remarks(remarks: tuple[Remark, ...]) -> list[JSON]:
    return [plain(r) for r in remarks]


def _existing(path: Path) -> str | None:
    return str(path) if path.exists() else None
