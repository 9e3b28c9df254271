"""`mitosis show`: everything about one trial."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from mitosis import expect, identity, series, telling
from mitosis.cli import answers, export, locate, tables, text
from mitosis.errors import RepositoryRefused, SelectionRefused, TrialNotFound
from mitosis.folder import TrialFolder
from mitosis.frame import Frame
from mitosis.trial import JSON, Attestation, CodeState, FileRecord, Remark, Status, Trial

_WIDEST = 40  # columns of a name; longer ones push their own value alone


@click.command()
@click.argument("trial")
@click.option("--series", "logged", is_flag=True, help="What it logged while it ran, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@tables.export_options("of a sweep a line for each trial; with --series one for each point")
@locate.store_option
def command(
    trial: str, logged: bool, as_json: bool, as_csv: bool, parquet: Path | None, url: str | None
) -> int:
    """Show everything about TRIAL: a unique prefix of its id, @1 for the latest, or a sweep's id."""
    tables.one_form(as_json, as_csv, parquet)
    with locate.required(url, trial) as store:
        try:
            found = store.get(trial, locate.scope(url))
        except TrialNotFound:
            begun = store.named_sweep(trial.strip().lower()) if trial.strip() else None
            if begun is None:
                raise
            from mitosis.cli import sweep

            return sweep.show(store, begun.id, as_json, as_csv, parquet)
        if (as_csv or parquet) and not logged:
            todo = "add --series; a table of trials: mitosis ls --csv"
            raise SelectionRefused("one trial is no table, its series are one", todo)
        said = store.attestations(found.id)
        if as_json:
            removed = bool(store.removed([found.id]))
            document = answers.whole(found, store.environment(found.spec.environment), said, removed)
            answers.emit({**document, **({"series": _series(found)} if logged else {})})
            return 0
        if as_csv or parquet:
            export.write(_points(found), parquet)
            return 0
        short = {
            **store.brief("param_set", [found.spec.param_set.digest]),
            **store.brief("environment", [found.spec.environment]),
            **store.brief("id", [found.id, *(str(made.content.get("trial", "")) for made in said)]),
        }
    with tables.paged():
        print("\n".join(_logged(found) if logged else _lines(found, said, short)))
    names = [one.name for one in series.read(TrialFolder(found.spec.folder))] if logged else []
    if names:
        tables.hint(f"mitosis plot --series {text.safe(names[0])} {short[found.id]}")
        return 0
    there = TrialFolder(found.spec.folder).html.exists()
    running = found.status is Status.RUNNING
    tables.hint(f"mitosis open {short[found.id]}" if there else f"mitosis ls{' --watch' * running}")
    return 0


def _lines(trial: Trial, said: Sequence[Attestation], short: Mapping[str, str]) -> Iterator[str]:
    spec, outcome = trial.spec, trial.outcome
    folder = TrialFolder(spec.folder)
    name = f"{text.safe(spec.experiment)}  {text.safe(spec.variant)}  seed={spec.seed}"
    yield f"{spec.id}  {name}  {trial.status.value}"
    if outcome is not None:
        yield from _block(
            "metrics", {"main": outcome.main, **outcome.metrics} if outcome.error is None else {}
        )
    yield from _block("params", _flat(spec.params))
    yield ""
    facts = {
        "entry point": f"{spec.module}:{spec.function}",
        "expected": f"{expect.shown(spec.expect)}: {outcome.expectation if outcome else ''}".rstrip(": ")
        if spec.expect
        else "",
        "parameter set": short[spec.param_set.digest],
        "commit": f"{spec.code.commit}{' (dirty)' if spec.code.dirty else ''}",
        "": _told(spec.code),
        "code identity": outcome.code_identity if outcome else "",
        "branch": spec.code.branch or "(detached)",
        "started": spec.started_at,
        "took": f"{text.seconds(outcome.seconds)} ({text.seconds(outcome.cpu_seconds)} CPU)"
        if outcome
        else "",
        "host": " ".join([spec.process.host, *(f"{k}={v}" for k, v in spec.process.engine.items())]),
        "sweep": f"{spec.sweep} job {spec.job}" if spec.sweep else "",
        "study": f"{spec.study} trial {spec.job}" if spec.study else "",
        "variables": " ".join(f"{k}={v}" for k, v in spec.variables.items()),
        "note": spec.note,
        "tags": " ".join(spec.tags),
        "overrides": " ".join(spec.overrides),
        "folder": str(folder.path),
        "report": str(folder.html) if folder.html.exists() else "",
        "modules": f"{len(outcome.modules)} of the user's own" if outcome and outcome.modules else "",
        "inputs": _files((*spec.inputs, *(outcome.inputs if outcome else ()))),
        "outputs": _files(outcome.outputs) if outcome else "",
        "threads": "; ".join(outcome.threads) if outcome else "",
        "environment": short[spec.environment],
        "figures": " ".join(outcome.figures) if outcome else "",
        "series": _names(folder, spec.id),
    }
    width = max(len(k) for k in facts)
    yield from (f"{name:<{width}}  {text.safe(value)}" for name, value in facts.items() if value)
    for kind, remarks in (("taint", outcome.taints if outcome else ()), ("note", _notes(trial))):
        for remark in remarks:
            where = f" ({text.safe(remark.where)})" if remark.where else ""
            yield f"{kind} {remark.kind}: {text.safe(remark.what)}{where}"
    for made in said:
        by = f" by {short[str(made.content['trial'])]}" if made.content.get("trial") else ""
        when = f"{text.local(made.made_at)}, {text.safe(made.host)}"
        yield f"{made.kind}: {text.safe(made.verdict)}{by} ({when})"
    if spec.code.dirty:
        yield from ("", *_snapshot(spec.code))
    if outcome is not None and outcome.error is not None:
        yield ""
        yield text.failure(trial)


def _names(folder: TrialFolder, trial: str) -> str:
    names = " ".join(one.name for one in series.read(folder))
    return f"{names} (mitosis show --series {trial})" if names else ""


def _series(trial: Trial) -> JSON:
    found = series.read(TrialFolder(trial.spec.folder))
    return [{"name": one.name, "steps": list(one.steps), "values": list(one.values)} for one in found]


def _points(trial: Trial) -> Frame:
    rows = (
        (trial.id, one.name, step, value)
        for one in series.read(TrialFolder(trial.spec.folder))
        for step, value in zip(one.steps, one.values, strict=True)
    )
    return Frame(("trial", "series", "step", "value"), tuple(rows))


def _logged(trial: Trial) -> Iterator[str]:
    """A line for each series: how many points, the first, the last, the extremes, and its course."""
    spec = trial.spec
    yield f"{spec.id}  {text.safe(spec.experiment)}  {text.safe(spec.variant)}  seed={spec.seed}"
    found = series.read(TrialFolder(spec.folder))
    if not found:
        yield "it logged nothing: from mitosis import log; log(step, loss=...)"
        return
    columns = ["series", "points", "steps", "first", "last", "min", "max", "course"]
    rows = []
    for one in found:
        finite = [v for v in one.values if math.isfinite(v)] or [math.nan]
        numbers = (one.values[0], one.values[-1], min(finite), max(finite))
        steps = f"{text.number(one.steps[0])} to {text.number(one.steps[-1])}"
        shown = [text.number(float(v)) for v in numbers]
        rows.append([text.safe(one.name), str(len(one.values)), steps, *shown, series.bars(one.values)])
    yield from tables.plain(columns, rows, right=("points", "first", "last", "min", "max"))


def _files(records: tuple[FileRecord, ...]) -> str:
    """The first paths and a count."""
    named = " ".join(r.path for r in records[:5])
    return f"{named} and {len(records) - 5} more" if len(records) > 5 else named


def _snapshot(code: CodeState) -> list[str]:
    """What the snapshot of a dirty tree changed against its commit, a line for each file."""
    from mitosis.capture import snapshot

    try:
        return text.safe_lines(snapshot.short_diff(Path(code.repository), code.commit))
    except RepositoryRefused:
        return []  # its repository is not here


def _told(code: CodeState) -> str:
    """The commit's own first line, author and date, where its repository is here."""
    from mitosis.capture import history

    found = history.told(Path(code.repository), code.commit)
    return f"{found.summary} ({found.author}, {text.local(found.at)})" if found is not None else ""


def _notes(trial: Trial) -> tuple[Remark, ...]:
    return (*trial.spec.notes, *(trial.outcome.notes if trial.outcome else ()))


def _block(title: str, rows: Mapping[str, JSON]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield title
    width = min(max(len(text.safe(k)) for k in rows), _WIDEST)
    for name, value in rows.items():
        yield f"  {text.safe(name):<{width}}  {text.number(value)}"


def _flat(text_of_params: str) -> dict[str, JSON]:
    """Parameters by dotted name, for one line each."""
    leaves = telling.leaves(identity.parse(text_of_params))
    return {
        name: value if isinstance(value, str) else identity.shown(value) for name, value in leaves if name
    }
