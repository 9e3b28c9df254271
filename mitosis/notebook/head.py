"""Says what stands at the head of a trial's page: status, numbers, facts, remarks, error and record."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mitosis import expect, identity, telling
from mitosis.folder import TrialFolder
from mitosis.notebook import markup
from mitosis.trial import FileRecord, Outcome, Remark, Status, Trial, TrialSpec

if TYPE_CHECKING:
    from nbformat import NotebookNode

_MOST_ROWS = 500  # of a table
_MOST_FILES = 100


def view(nb: NotebookNode | None, trial: Trial) -> dict[str, Any]:
    """What the template shows at the head, as text on single lines; `nb` for a traceback it alone has."""
    spec, outcome = trial.spec, trial.outcome or Outcome(Status.RUNNING, "")
    main, exact = _number(outcome)
    measured = [("main", exact), *((name, repr(value)) for name, value in outcome.metrics.items())]
    shown = {
        "id": spec.id,
        "experiment": spec.experiment,
        "variant": spec.variant,
        "seed": str(spec.seed),
        "main": main,
        "folder": spec.folder,
    }
    return {
        **{name: markup.visible(text) for name, text in shown.items()},
        "note": markup.visible_lines(spec.note),
        "status": trial.status.value,
        "word": trial.status.value.replace("_", " "),
        "facts": [(name, markup.visible(text)) for name, text in _facts(spec, outcome) if text],
        "error": _error(nb, outcome),
        "taints": _remarks(outcome.taints),
        "notes": _remarks((*spec.notes, *outcome.notes)),
        "metrics": _table(measured if main else []),
        "params": _table(_parameters(spec.params)),
        "record": [
            (name, [markup.visible(line) for line in lines]) for name, lines in _record(trial) if lines
        ],
        "files": _files(spec, outcome),
    }


def _number(outcome: Outcome) -> tuple[str, str]:
    """`main` for the eye, six digits of a float, and exactly; two empty strings where there is none."""
    value = outcome.main
    if value is None and outcome.status is not Status.SUCCEEDED:
        return "", ""
    brief = f"{value:.6g}" if isinstance(value, float) else identity.shown(value, 40)
    return brief, identity.shown(value, 200)


def _remarks(remarks: Sequence[Remark]) -> list[tuple[str, str, str]]:
    return [(markup.visible(r.kind), markup.visible(r.what), markup.visible(r.where)) for r in remarks]


def _table(rows: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Rows of a table at the head, at most `_MOST_ROWS`, and how many there are besides."""
    shown = [(markup.visible(name), markup.visible(value)) for name, value in rows[:_MOST_ROWS]]
    return {"rows": shown, "more": len(rows) - len(shown)}


def _parameters(text: str) -> list[tuple[str, str]]:
    return [(name, identity.shown(value, 160)) for name, value in telling.leaves(identity.parse(text))]


def _facts(spec: TrialSpec, outcome: Outcome) -> Iterator[tuple[str, str]]:
    yield "trial", spec.id
    yield "commit", spec.code.commit[:7] + (" with changes" if spec.code.dirty else "")
    yield "branch", spec.code.branch or ""
    yield "started (UTC)", _moment(spec.started_at)
    yield "run time", telling.duration(outcome.seconds)
    yield "CPU time", telling.duration(outcome.cpu_seconds)
    yield "host", spec.process.host
    yield "sweep", (spec.sweep or "") + (f", job {spec.job}" if spec.job is not None and spec.sweep else "")
    yield "tags", ", ".join(spec.tags)
    if spec.expect:
        yield "expected", f"{expect.shown(spec.expect)}: {outcome.expectation}".rstrip(": ")


def _moment(iso: str) -> str:
    try:
        return datetime.fromisoformat(iso.replace("Z", "+00:00")).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return iso


def _error(nb: NotebookNode | None, outcome: Outcome) -> dict[str, Any] | None:
    """What stopped the trial, with the user's traceback, or that of the notebook where none was recorded."""
    if outcome.error is None:
        return None
    trace = outcome.error.traceback
    if not trace and nb is not None:
        errors = [o for c in nb.cells for o in c.get("outputs", []) if o.output_type == "error"]
        # an error of the contract is explained by its message; the frames would be ours
        if errors and not outcome.error.kind.endswith("ContractError"):
            trace = "\n".join(errors[-1].traceback)
    # where mitosis itself gives the reason, its name for it tells nothing
    kind = "" if outcome.error.kind in (outcome.status.value, "ContractError") else outcome.error.kind
    message = markup.terminal(markup.cut(outcome.error.message, 4_000))
    return {"kind": markup.visible(kind), "message": message, "trace": markup.fold(trace)}


def _record(trial: Trial) -> Iterator[tuple[str, list[str]]]:
    """What decides the result and where it was made, in words: (name, lines)."""
    spec, outcome = trial.spec, trial.outcome
    yield "command", [" ".join(["python -m mitosis", *map(shlex.quote, spec.overrides)])]
    yield "entry point", [f"{spec.module}:{spec.function}"]
    yield "commit", [spec.code.commit]
    yield "project", [spec.code.project]
    if spec.code.remote:
        yield "remote", [spec.code.remote + (" (commit not pushed)" if spec.code.pushed is False else "")]
    if spec.code.tree not in ("", spec.code.repository):
        yield "code from", [spec.code.tree]
    yield "parameter set", [spec.param_set.digest]
    yield "variants", [f"{v.name} version {v.version}, {v.digest[:12]}" for v in spec.variants]
    yield "environment", [spec.environment]
    yield "inputs", _listed((*spec.inputs, *(outcome.inputs if outcome else ())))
    yield "outputs", _listed(outcome.outputs if outcome else ())
    if outcome and outcome.modules:
        own = [f"{m.name}: {m.origin}" for m in outcome.modules if m.origin != "commit"]
        yield "modules", [f"{len(outcome.modules) - len(own)} as in the commit", *own[:_MOST_FILES]]


def _listed(files: Sequence[FileRecord]) -> list[str]:
    lines = [f"{f.path}  {f.size:,} bytes  {f.digest[:12]}" for f in files[:_MOST_FILES]]
    more = len(files) - len(lines)
    return [*lines, f"{more:,} more are in trial.json"] if more else lines


def _files(spec: TrialSpec, outcome: Outcome) -> list[str]:
    """Names of what lies beside the page, which are their addresses too."""
    folder = TrialFolder(spec.folder)
    there = [file for file in (folder.result, folder.log) if file.is_file()]
    names = [file.name for file in (folder.notebook, *there, folder.trial_json)]
    return [*names, f"{folder.figures.name}/"] if outcome.figures else names
