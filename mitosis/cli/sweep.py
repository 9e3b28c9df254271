"""What `mitosis show SWEEP` says: the command, how its jobs stand, where they run, and its trials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitosis import frame, telling
from mitosis.cli import answers, export, tables, text, watch
from mitosis.trial import Status

if TYPE_CHECKING:
    from mitosis.store import Store
    from mitosis.store.values import SweepState

_SHOWN = 20  # trials


def show(store: Store, sweep: str, as_json: bool, as_csv: bool = False, parquet: Path | None = None) -> int:
    """Print the sweep with that id; as CSV or Parquet its trials, and those that stand for jobs."""
    from mitosis.store import Query

    state = store.sweep_state(sweep, hosts=True)
    assert state is not None
    table = as_csv or parquet is not None
    found = store.find(Query(sweep=sweep, sort="job", limit=None if as_json or table else _SHOWN))
    if table:
        export.write(frame.whole(found), parquet)
        return 0
    if as_json:
        answers.emit({**document(state), "trials": [answers.line(trial) for trial in found]})
        return 0
    name = store.brief("sweep", [sweep])[sweep]
    short = store.brief("id", [trial.id for trial in found])
    columns = ["job", "id", "variant", "seed", "status", "main", "took"]
    rows: list[list[tables.Cell]] = [
        [
            text.number(trial.job if trial.sweep == sweep else None),  # else it stands for one
            short[trial.id],
            text.safe(trial.variant),
            str(trial.seed),
            tables.status(trial.status),
            text.number(trial.main),
            text.seconds(trial.seconds),
        ]
        for trial in found
    ]
    with tables.paged():
        print("\n".join(_lines(state)))
        if rows:
            print()
            tables.show(columns, rows, right=("job", "seed", "main", "took"))
        more = sum(state.counts.values()) + state.stood_for - len(rows)
        if more > 0:
            print(f"{more} more: mitosis ls --sweep {name} --sort job --limit 0")
    tables.hint(*_next(state, name))
    return 0


def document(state: SweepState) -> dict[str, Any]:
    """The sweep as JSON, without its trials."""
    record = state.record
    return {
        "sweep": record.id,
        "project": record.project,
        "command": record.command,
        "size": record.size,
        "started_at": record.started_at or state.began,
        "waiting": state.waiting,
        "stood_for": state.stood_for,
        "counts": {status.value: state.counts.get(status, 0) for status in Status},
        "hosts": list(state.hosts),
        "eta_seconds": watch.eta(state),
    }


def _lines(state: SweepState) -> Iterator[str]:
    record, left = state.record, watch.eta(state)
    yield f"sweep {record.id}"
    yield ""
    jobs = {"waiting": state.waiting or 0, **{s.value: state.counts.get(s, 0) for s in Status}}
    jobs["stood for"] = state.stood_for
    facts = {
        "command": f"mitosis {record.command}" if record.command else "",
        "started": text.local(record.started_at or state.began),
        "jobs": "" if record.size is None else str(record.size),
        **{name: str(number) for name, number in jobs.items() if number},
        "hosts": " ".join(state.hosts),
        "eta": telling.duration(left),
    }
    width = max(len(name) for name in facts)
    yield from (f"{name:<{width}}  {text.safe(value)}" for name, value in facts.items() if value)


def _next(state: SweepState, name: str) -> tuple[str, str, str]:
    """A command, and what is said before and after it."""
    watching = f"mitosis ls --sweep {name} --watch"
    if state.running:
        return watching, "", ""
    if state.record.command is None:
        return f"mitosis ls --sweep {name}", "", ""
    if state.waiting:  # for an engine, or for a launcher that is gone: nobody here can tell
        return f"mitosis resume {name}", "", f", where its launcher is gone; else: {watching}"
    if any(n for s, n in state.counts.items() if s is not Status.SUCCEEDED):
        return f"mitosis resume {name}", "", ""
    return f"mitosis compare --sweep {name}", "", ""
