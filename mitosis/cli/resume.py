"""`mitosis resume`: go on with a sweep under its own id, running only what has not succeeded yet."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator

import click

from mitosis.cli import locate
from mitosis.cli.terminal import Terminal
from mitosis.errors import RepositoryRefused, TrialNotFound

_OURS = ("mitosis.rerun=", "mitosis.resume=", "mitosis.store=")


@click.command()
@click.argument("sweep", required=False)
@click.option("--json", "as_json", is_flag=True, help="At the end, the sweep as one JSON document on stdout.")
@locate.store_option
def command(sweep: str | None, as_json: bool, url: str | None) -> int:
    """Go on with SWEEP (default: the latest of this project), by the command line that began it."""
    top = locate.repository()
    if top is None:
        raise RepositoryRefused("there is no repository here to take the code from", "cd into it")
    with locate.required(url, f"of a sweep {sweep or ''}".strip()) as store:
        found = store.latest_sweep(sweep, locate.project())
        address = locate.url_of(url) or store.url
    if found is None:
        raise TrialNotFound(f"there is no sweep {sweep or 'yet'}", "mitosis ls shows the trials there are")
    if not found.command:  # the store was made anew from the folders
        raise TrialNotFound(
            f"the store does not know the command line of the sweep {found.id}",
            "repeat that command with mitosis.rerun=missing: it runs only what is missing",
        )
    words = [w for w in shlex.split(found.command) if not w.startswith(_OURS)]
    os.chdir(top)
    from mitosis.app import main as app

    os.environ["MITOSIS_STORE"] = address  # as an override its path would have to be quoted for Hydra
    with _aside(as_json):
        words += ["mitosis.rerun=missing", f"mitosis.resume='{found.id}'"]
        code = app.run(words, Terminal(quiet_stdout=as_json))
    if as_json:
        from mitosis.cli import sweep as page

        with locate.required(address, found.id) as store:
            page.show(store, found.id, as_json)
    return code


@contextlib.contextmanager
def _aside(wanted: bool) -> Iterator[None]:
    """Whatever is written to stdout meanwhile, by workers too, goes to stderr: stdout is for one document."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
