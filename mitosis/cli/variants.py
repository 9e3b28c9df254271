"""`mitosis variants`: the named choices, their versions, and how often each was used."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitosis import identity, telling
from mitosis.cli import answers, export, locate, tables, text
from mitosis.errors import TrialNotFound
from mitosis.frame import Frame
from mitosis.trial import JSON

if TYPE_CHECKING:
    from mitosis.store import VariantUse


_KEYS = (
    *("project", "experiment", "name", "version", "digest"),
    *("content", "first_used_at", "last_used_at", "trials"),
)


@click.command()
@click.argument("name", required=False)
@click.option("--experiment", metavar="NAME", help="Only of this experiment.")
@click.option("--all-projects", is_flag=True, help="Of every project in the store.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@tables.export_options("all there is of each version")
@locate.store_option
def command(
    name: str | None, experiment: str | None, all_projects: bool, as_json: bool, as_csv: bool,
    parquet: Path | None, url: str | None,
) -> int:  # fmt: skip
    """List the variants, or show how the versions of NAME (params/fast) differ."""
    tables.one_form(as_json, as_csv, parquet)
    project = None if all_projects else locate.project()
    with locate.opened(url) as store:
        found = store.variant_history(project) if store is not None else []
    short = telling.shortest([use.variant.digest for use in found])
    found = [u for u in found if experiment in (None, u.experiment) and name in (None, u.variant.name)]
    if name is not None and not found:
        raise TrialNotFound(f"there is no variant {name}", "list them: mitosis variants")
    if as_json:
        answers.emit([_document(use) for use in found])
        return 0
    if as_csv or parquet:
        rows = [_document(use) for use in found]
        export.write(Frame(_KEYS, tuple(tuple(row[key] for key in _KEYS) for row in rows)), parquet)
        return 0
    if not found:
        print("no variant yet")
        return 0
    columns = ["experiment", "variant", "version", "digest", "first used", "last used", "trials"]
    tables.show(columns, [_row(use, short) for use in found], right=("version", "trials"))
    if name is not None:
        print("\n".join(_versions(found)))
    tables.hint(_next(found, name))
    return 0


def _next(found: Sequence[VariantUse], name: str | None) -> str:
    """How the versions of a redefined one differ, else how the variants do."""
    later = next((use for use in found if use.variant.version > 1), None)
    if name is None and later is not None:
        return f"mitosis variants {shlex.quote(text.safe(later.variant.name))}"
    last = max(found, key=lambda use: use.last_used_at or "")
    return f"mitosis compare --experiment {shlex.quote(text.safe(last.experiment))}"


def _row(use: VariantUse, short: Mapping[str, str]) -> list[str]:
    return [
        text.safe(use.experiment),
        text.safe(use.variant.name),
        str(use.variant.version),
        short[use.variant.digest],
        text.local(use.first_used_at),
        text.local(use.last_used_at),
        str(use.trials),
    ]


def _versions(found: Sequence[VariantUse]) -> list[str]:
    """What the first version holds, and what each later one changed."""
    lines: list[str] = []
    before: VariantUse | None = None
    for use in found:
        if before is None or before.experiment != use.experiment:
            lines += [
                "",
                f"{text.safe(use.experiment)}, version {use.variant.version}: {text.safe(use.variant.text)}",
            ]
        else:
            lines.append(f"{text.safe(use.experiment)}, version {use.variant.version} changed")
            for key, old, new in identity.differences(before.variant.text, use.variant.text):
                lines.append(f"  {text.safe(key)}: {_shown(old)} -> {_shown(new)}")
        before = use
    return lines


def _shown(value: object) -> str:
    return text.safe(identity.shown(value))


def _document(use: VariantUse) -> dict[str, JSON]:
    return {
        "project": use.project,
        "experiment": use.experiment,
        "name": use.variant.name,
        "version": use.variant.version,
        "digest": use.variant.digest,
        "content": identity.parse(use.variant.text),
        "first_used_at": use.first_used_at,
        "last_used_at": use.last_used_at,
        "trials": use.trials,
    }
