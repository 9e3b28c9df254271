"""`mitosis open`: a trial's report in the browser."""

from __future__ import annotations

import click

from mitosis.cli import locate, text
from mitosis.errors import TrialNotFound
from mitosis.folder import TrialFolder


@click.command()
@click.argument("trial", default="@1")
@click.option("--path", is_flag=True, help="Only print the report's path.")
@locate.store_option
def command(trial: str, path: bool, url: str | None) -> int:
    """Open the report of TRIAL (default: the latest) in the browser, and print its path."""
    with locate.required(url, trial) as store:
        found = store.get(trial, None if url else locate.project())
    report = TrialFolder(found.spec.folder).html
    if not report.exists():
        raise TrialNotFound(
            f"trial {text.short(found.id)} has no report yet (status: {found.status.value}): {report}",
            f"see what there is: mitosis show {text.short(found.id)}",
        )
    print(report)
    if not path:
        import webbrowser

        webbrowser.open(report.as_uri())
    return 0
