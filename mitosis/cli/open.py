"""`mitosis open`: a trial's report in the browser."""

from __future__ import annotations

import click

from mitosis.cli import answers, locate, tables
from mitosis.errors import TrialNotFound
from mitosis.folder import TrialFolder


@click.command()
@click.argument("trial", default="@1")
@click.option("--path", is_flag=True, help="Only print the report's path.")
@click.option("--json", "as_json", is_flag=True, help="Only print id and path, as one JSON document.")
@locate.store_option
def command(trial: str, path: bool, as_json: bool, url: str | None) -> int:
    """Open the report of TRIAL (default: the latest) in the browser, and print its path."""
    with locate.required(url, trial) as store:
        found = store.get(trial, locate.scope(url))
        name = store.short(found.id)
    report = TrialFolder(found.spec.folder).html
    if not report.exists():
        if not report.parent.is_dir():
            raise TrialNotFound(
                f"the folder of trial {name} is gone: {report.parent}",
                f"what else is gone: mitosis check; have it again: mitosis reproduce {name}",
            )
        raise TrialNotFound(
            f"trial {name} has no report yet (status: {found.status.value}): {report}",
            f"see what there is: mitosis show {name}",
        )
    if as_json:
        answers.emit({"id": found.id, "html": str(report)})
        return 0
    print(report)
    if not path:
        import webbrowser

        webbrowser.open(report.as_uri())
        tables.hint(f"mitosis show {name}")
    return 0
