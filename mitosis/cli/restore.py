"""`mitosis restore`: brings trials back out of the trash."""

from __future__ import annotations

import click

from mitosis import trash
from mitosis.cli import locate, rm, tables


@click.command()
@click.argument("trials", nargs=-1, required=True, metavar="ID...")
@click.option("--yes", is_flag=True, help="Do it; without this only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@locate.store_option
def command(trials: tuple[str, ...], yes: bool, as_json: bool, url: str | None) -> int:
    """Bring the trials ID... back to where they were before `mitosis rm`."""
    with locate.required(url, trials[0]) as store:
        project = locate.scope(url)
        found = {trial.id: trial for trial in (store.get(name, project) for name in trials)}
        moves = trash.restoring(list(found.values()))
        if yes:
            for move in moves:
                trash.restore(store, move)
    rm.tell(moves, yes, as_json, "restored", "would restore")
    if not as_json:
        names = [move.trial for move in moves]
        tables.hint(f"mitosis show {names[0]}" if yes else f"mitosis restore {' '.join(names)} --yes")
    return 0
