"""`mitosis ls`: trials, newest first, filtered and sorted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import click

from mitosis.cli import locate, tables, text
from mitosis.errors import Refused
from mitosis.trial import Status, Summary

if TYPE_CHECKING:
    from mitosis.store import Query

_COLORS = {
    Status.SUCCEEDED: "green",
    Status.RUNNING: "cyan",
    Status.INTERRUPTED: "yellow",
}


@click.command()
@click.option("--experiment", metavar="NAME", help="Only of this experiment.")
@click.option(
    "--variant", metavar="LABEL", help="Only of this variant, as `ls` shows it: fast, digits,model=svm."
)
@click.option("--status", type=click.Choice([s.value for s in Status]), help="Only with this status.")
@click.option("--seed", type=int, help="Only with this seed.")
@click.option("--commit", metavar="HASH", help="Only of this commit (a prefix is enough).")
@click.option("--sweep", metavar="ID", help="Only of this sweep (a prefix is enough).")
@click.option(
    "--since", metavar="DATE", help="Only started at or after: 2026-01-31, 2026-01-31T12:00, 3h, 2d."
)
@click.option("--until", metavar="DATE", help="Only started before.")
@click.option(
    "--sort",
    default="-started_at",
    show_default=True,
    metavar="COLUMN",
    help="By this column; -COLUMN for descending. E.g. main.",
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="At most so many; 0: all."
)
@click.option(
    "--all-projects", is_flag=True, help="Of every project in the store, not only of this repository."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@locate.store_option
def command(as_json: bool, url: str | None, **wanted: str | int | bool | None) -> int:
    """List trials, newest first."""
    query = _query(wanted)
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
        print(
            "no trial"
            + (" matches" if any(v for k, v in wanted.items() if k not in ("limit", "sort")) else " yet")
        )
        return 0
    _table(found)
    print(f"{'more with --limit 0; ' if more else ''}next: mitosis show {text.short(found[0].id)}")
    return 0


def _query(wanted: dict[str, str | int | bool | None]) -> Query:
    from mitosis.store import Query

    return Query(
        project=None if wanted["all_projects"] else locate.project(),
        experiment=_text(wanted["experiment"]),
        variant=_text(wanted["variant"]),
        status=(Status(wanted["status"]),) if wanted["status"] else (),
        seed=wanted["seed"] if isinstance(wanted["seed"], int) else None,
        commit=_text(wanted["commit"]),
        sweep=_text(wanted["sweep"]),
        since=moment(_text(wanted["since"])),
        until=moment(_text(wanted["until"])),
        sort=_column(str(wanted["sort"])),
        limit=int(wanted["limit"] or 0) or None,
    )


def _column(name: str) -> str:
    """The key of the record behind a column's heading."""
    descending, column = ("-", name[1:]) if name.startswith("-") else ("", name)
    return descending + {"took": "seconds", "started": "started_at"}.get(column, column)


def _text(value: str | int | bool | None) -> str | None:
    return None if value is None or value == "" else str(value)


def moment(value: str | None) -> datetime | None:
    """A date, a time (the user's own zone where none is given) or an age (`3h`, `2d`)."""
    if value is None:
        return None
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    if value[:-1].isdigit() and value[-1:] in units:
        return datetime.now(timezone.utc) - timedelta(**{units[value[-1]]: int(value[:-1])})
    try:
        return datetime.fromisoformat(value).astimezone(timezone.utc)
    except ValueError as error:
        todo = "write 2026-01-31, 2026-01-31T12:00, or an age: 3h, 2d"
        raise Refused(f"{value!r} is no date", todo) from error


def _status(trial: Summary) -> str:
    """The status, and what became of the expectation where there was one."""
    return f"{trial.status.value}, {trial.expectation}" if trial.expectation else trial.status.value


def _table(found: list[Summary]) -> None:
    def row(trial: Summary) -> list[tables.Cell]:
        return [
            text.short(trial.id),
            "!" if trial.taints else "",
            text.safe(trial.experiment),
            text.safe(trial.variant),
            str(trial.seed),
            tables.Styled(_status(trial), _COLORS.get(trial.status, "red")),
            text.number(trial.main),
            text.seconds(trial.seconds),
            text.short(trial.commit) + ("+" if trial.dirty else ""),
            text.local(trial.started_at),
        ]

    columns = ["id", "", "experiment", "variant", "seed", "status", "main", "took", "commit", "started"]
    tables.show(columns, [row(t) for t in found], right=("seed", "main", "took"))
    if any(trial.taints for trial in found):
        print("! the record of this trial is not proven: mitosis show ID says why")
