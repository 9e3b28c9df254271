"""`mitosis resume`: go on with a sweep under its own id, running only what has not succeeded yet."""

from __future__ import annotations

import os
import shlex

import click

from mitosis.cli import locate
from mitosis.cli.terminal import Terminal
from mitosis.errors import RepositoryRefused, TrialNotFound

_OURS = ("mitosis.rerun=", "mitosis.resume=", "mitosis.store=")


@click.command()
@click.argument("sweep", required=False)
@locate.store_option
def command(sweep: str | None, url: str | None) -> int:
    """Go on with SWEEP (default: the latest of this project), by the command line that began it."""
    top = locate.repository()
    if top is None:
        raise RepositoryRefused("there is no repository here to take the code from", "cd into it")
    with locate.required(url, f"of a sweep {sweep or ''}".strip()) as store:
        found = store.latest_sweep(sweep, locate.project())
        address = locate.url_of(url) or store.url
    if found is None or not found.command:
        raise TrialNotFound(f"there is no sweep {sweep or 'yet'}", "mitosis ls shows the trials there are")
    words = [w for w in shlex.split(found.command) if not w.startswith(_OURS)]
    os.chdir(top)
    from mitosis.app import main as app

    os.environ["MITOSIS_STORE"] = address  # as an override its path would have to be quoted for Hydra
    return app.run([*words, "mitosis.rerun=missing", f"mitosis.resume='{found.id}'"], Terminal())
