"""`mitosis ls`: trials, newest first, filtered and sorted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from mitosis.cli import locate, select, tables, text
from mitosis.trial import Status, Summary

_COLORS = {
    Status.SUCCEEDED: "green",
    Status.RUNNING: "cyan",
    Status.INTERRUPTED: "yellow",
}


@click.command()
@select.options
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@locate.store_option
def command(as_json: bool, url: str | None, **wanted: Any) -> int:
    """List trials, newest first."""
    query = select.query(wanted)
    page = query.limit
    with locate.opened(url) as store:
        # one trial beyond the page tells that there are more; to count them all would read a whole index
        ahead = replace(query, limit=None if page is None else page + 1)
        found = store.find(ahead) if store is not None else []
    more = page is not None and len(found) > page
    found = found[:page]
    if as_json:
        from mitosis.cli import answers

        answers.emit([answers.line(s) for s in found])
        return 0
    if not found:
        print("no trial matches" if select.narrowed(wanted) else "no trial yet")
        return 0
    _table(found)
    print(f"{'more with --limit 0; ' if more else ''}next: mitosis show {text.short(found[0].id)}")
    return 0


def _table(found: list[Summary]) -> None:
    def row(trial: Summary) -> list[tables.Cell]:
        return [
            text.short(trial.id),
            "!" if trial.taints else "",
            text.safe(trial.experiment),
            text.safe(trial.variant),
            str(trial.seed),
            tables.Styled(trial.status.value, _COLORS.get(trial.status, "red")),
            text.number(trial.main),
            text.seconds(trial.seconds),
            text.short(trial.commit) + ("+" if trial.dirty else ""),
            text.local(trial.started_at),
        ]

    columns = ["id", "", "experiment", "variant", "seed", "status", "main", "took", "commit", "started"]
    tables.show(columns, [row(t) for t in found], right=("seed", "main", "took"))
    if any(trial.taints for trial in found):
        print("! the record of this trial is not proven: mitosis show ID says why")
