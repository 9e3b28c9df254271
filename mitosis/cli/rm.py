"""`mitosis rm`: moves trials into the trash below the root, where `mitosis restore` finds them."""

from __future__ import annotations

import click

from mitosis import trash
from mitosis.cli import answers, locate, tables, text


@click.command()
@click.argument("trials", nargs=-1, required=True, metavar="ID...")
@click.option("--yes", is_flag=True, help="Do it; without this only say what would be done.")
@click.option("--even-if-referred", is_flag=True, help="Also where a trial that is not named refers to one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@locate.store_option
def command(
    trials: tuple[str, ...], yes: bool, even_if_referred: bool, as_json: bool, url: str | None
) -> int:
    """Move the trials ID... into the trash: their folders to <root>/trash, their rows marked as removed.

    They are listed by `ls --all` alone, and stand for nothing. `mitosis gc` deletes them after a while.
    """
    with locate.required(url, trials[0]) as store:
        project = locate.scope(url)
        found = {trial.id: trial for trial in (store.get(name, project) for name in trials)}
        moves = trash.removal(store, list(found.values()), even_if_referred)
        if yes:
            for move in moves:
                trash.remove(store, move)
    tell(moves, yes, as_json, "removed", "would remove")
    if not as_json:
        names = " ".join(m.trial for m in moves)
        insist = " --even-if-referred" * even_if_referred
        if yes:
            tables.hint(f"mitosis restore {names} --yes", after=" brings back")
        else:
            tables.hint(f"mitosis rm {names}{insist} --yes")
    return 0


def tell(moves: list[trash.Move], done: bool, as_json: bool, word: str, would: str) -> None:
    """What was moved, or would be."""
    if as_json:
        listed = [{"id": m.trial, "from": str(m.source), "to": str(m.target)} for m in moves]
        answers.emit({"done": done, "trials": listed})
        return
    for move in moves:
        place = text.safe(str(move.source)) + ("" if move.there else " (no folder is there)")
        print(f"{word if done else would} {move.trial}  {place}")
    if not done:
        print("nothing was done; add --yes to do it")
