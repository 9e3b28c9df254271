"""The options by which commands choose trials, and the question to the store that they mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mitosis import frame, where
from mitosis.cli import locate, tables, text
from mitosis.errors import SelectionRefused
from mitosis.trial import Status

if TYPE_CHECKING:
    from mitosis.store import Query, Store

_LATEST = 200  # trials whose parameters are named where an expression names none
_NAMED = 20  # experiments, variants or tags that a message names
F = TypeVar("F", bound=Callable[..., Any])

PAGE = 20
"""Trials that are listed where no `--limit` is given."""

NAMES = (
    *("experiment", "variant", "status", "seed", "commit", "sweep", "since", "until", "tags", "where"),
    "all_projects",
)
"""The parameters that `filters` hands to a command; `options` adds `sort` and `limit`."""


def filters(function: F) -> F:
    """Add the options that say which trials; their values come under the names of `NAMES`."""
    statuses = click.Choice([s.value for s in Status])
    for option in reversed((
        click.option("--where", metavar="EXPRESSION", help="E.g. 'params.dt < 0.1 and status == failed'."),
        click.option("--experiment", metavar="NAME", help="Only of this experiment."),
        click.option(
            "--variant", metavar="LABEL", help="Only of this variant, as `ls` shows it: digits,model=svm."
        ),
        click.option("--status", type=statuses, multiple=True, help="Only with this status; any of several."),
        click.option("--seed", type=int, help="Only with this seed."),
        click.option("--commit", metavar="HASH", help="Only of this commit (a prefix is enough)."),
        click.option("--sweep", metavar="ID", help="Only of this sweep (a prefix is enough)."),
        click.option(
            "--since", metavar="DATE", help="Only started at or after: 2026-01-31, 2026-01-31T12:00, 3h, 2d."
        ),
        click.option("--until", metavar="DATE", help="Only started before."),
        click.option(
            "--tag", "tags", multiple=True, metavar="TAG", help="Only with this tag; with all of several."
        ),
        click.option(
            "--all-projects", is_flag=True, help="Of every project in the store, not only of this repository."
        ),
    )):  # fmt: skip
        function = option(function)
    return function


def options(function: F) -> F:
    """Add `filters`, `--sort` and `--limit` to a command."""
    for option in reversed((
        click.option(
            "--sort",
            default="-started_at",
            show_default=True,
            metavar="KEY",
            help="By this key; -KEY for descending. E.g. main, params.dt.",
        ),
        click.option(
            "--limit",
            type=click.IntRange(0, 2**31),
            help=f"At most so many; 0: all. Default: {PAGE}.",
        ),
    )):  # fmt: skip
        function = option(function)
    return filters(function)


def query(values: Mapping[str, Any]) -> Query:
    """The question that the options mean; a command without `sort` or `limit` gets all, newest first.

    Raises SelectionRefused where an expression or a date cannot be read.
    """
    from mitosis.store import Query

    return Query(
        project=None if values.get("all_projects") else locate.project(),
        experiment=values.get("experiment") or None,
        variant=values.get("variant") or None,
        status=tuple(Status(word) for word in values.get("status") or ()),
        seed=values.get("seed"),
        commit=values.get("commit") or None,
        sweep=values.get("sweep") or None,
        since=_moment(values.get("since"), "--since"),
        until=_moment(values.get("until"), "--until"),
        tags=tuple(values.get("tags") or ()),
        where=where.parse(values["where"]) if values.get("where") is not None else None,
        removed=bool(values.get("removed")),
        sort=_column(values.get("sort") or "-started_at"),
        limit=_limit(values),
    )


def _limit(values: Mapping[str, Any]) -> int | None:
    if "limit" not in values:
        return None
    return PAGE if values["limit"] is None else values["limit"] or None


def warn(store: Store, question: Query, names: Sequence[str] = ()) -> None:
    """Say on stderr which parameters and metrics of the expression, the order and `names` no trial has."""
    import difflib

    wanted = list(where.keys(question.where)) if question.where is not None else []
    others = (*names, question.sort.removeprefix("-"))
    wanted += [where.parse_key(name) for name in others if name.startswith(("params", "metrics"))]
    for key in store.absent(wanted) if wanted else ():
        latest = frame.whole(store.find(replace(question, where=None, limit=_LATEST)))
        known = [name for name in latest.columns if name.startswith(f"{key.name}.")]
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known[:20]) or 'none'}"
        print(text.safe(f"note: no trial has {key}; {hint}"), file=sys.stderr)


def narrowed(values: Mapping[str, Any]) -> bool:
    """Whether any option leaves trials out."""
    return any(values.get(name) not in (None, (), "", False) for name in NAMES if name != "all_projects")


def nothing(store: Store | None, values: Mapping[str, Any]) -> None:
    """Say that there is no trial; which names no trial has, and where one may be found."""
    if not narrowed(values):
        print("no trial yet")
        tables.hint("mitosis --help", after=" lists the experiments that can be run")
        return
    print("no trial matches")
    if store is not None:
        _unknown(store, values)
    tables.hint("mitosis ls")


def _unknown(store: Store, values: Mapping[str, Any]) -> None:
    """Name the experiments, variants and tags there are, where one is asked for that no late trial has."""
    latest = store.find(replace(query({"all_projects": values.get("all_projects")}), limit=_LATEST))
    names = {
        "experiment": [trial.experiment for trial in latest],
        "variant": [trial.variant for trial in latest],
        "tags": [tag for trial in latest for tag in trial.tags],
    }
    for kind, there in names.items():
        given = values.get(kind) or ()
        for name in (given,) if isinstance(given, str) else given:
            if name not in there:
                known = ", ".join(list(dict.fromkeys(there))[:_NAMED]) or "none"
                what = f"no {kind.removesuffix('s')} {name!r} among the latest trials; there are: {known}"
                print(f"note: {text.safe(what)}", file=sys.stderr)


def _moment(text: str | None, option: str) -> Any:
    if not text:
        return None
    try:
        return where.moment(text)
    except SelectionRefused as error:
        raise SelectionRefused(f"{option}: {error.what}", error.todo) from error


def _column(name: str) -> str:
    """The key of the record behind a column's heading."""
    descending, column = ("-", name[1:]) if name.startswith("-") else ("", name)
    return descending + {"took": "seconds", "started": "started_at"}.get(column, column)
