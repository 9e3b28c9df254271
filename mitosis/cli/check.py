"""`mitosis check`: holds the store against the folders, and makes either whole again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitosis import audit
from mitosis.cli import answers, locate, tables, text
from mitosis.cli.main import DONE, UNSUCCESSFUL
from mitosis.errors import Refused
from mitosis.trial import plain

if TYPE_CHECKING:
    from mitosis.store.store import Store


@click.command()
@click.option("--rebuild", is_flag=True, help="Make the SQLite store anew from the folders alone.")
@click.option(
    "--merge", metavar="ROOT", type=click.Path(path_type=Path), help="Bring in another root's trials."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@locate.store_option
def command(rebuild: bool, merge: Path | None, as_json: bool, url: str | None) -> int:
    """Verify the store, every file of every trial, and that git still has every commit.

    Dead trials are closed and folders without a row are brought in. Exit code 0: clean; 2: damage.
    """
    address = locate.url_of(url)
    root = locate.root_or_guess(address)
    if rebuild:
        database = Path((address or "").removeprefix("sqlite:///"))
        if not address or "://" in address.removeprefix("sqlite:///"):
            raise Refused(
                "only a SQLite store can be made anew from the folders", "restore the server's backup"
            )
        print(f"made {database} anew from {audit.rebuild(root, database)} folders", file=sys.stderr)
    with locate.opened(url) as store:
        if store is None and merge is not None:
            raise Refused("there is no store here to bring trials into", "run something first, then merge")
        if store is None:
            found = audit.without_store(root)
        else:
            if merge is not None:
                _merge(store, root, merge)
            found = audit.audit(store, root, locate.repository(), _progress, locate.project())
    if as_json:
        answers.emit(plain(found))
    else:
        _tell(found)
        tables.hint(*_next(found))
    return UNSUCCESSFUL if found.damage else DONE


def _merge(store: Store, root: Path, other: Path) -> None:
    merged, unended = audit.merge(store, root, other.absolute())
    print(f"brought in {len(merged)} trials of {other}", file=sys.stderr)
    if unended:
        print(
            f"left out {len(unended)} that have not ended, {unended[0]} first\n"
            f"  run mitosis check where they were started, then merge again",
            file=sys.stderr,
        )


def _progress(number: int) -> None:
    if sys.stderr.isatty() and number % 100 == 0:
        print(f"\r{number} trials checked", end="", file=sys.stderr, flush=True)


def _tell(found: audit.Audit) -> None:
    for remark in found.damage:
        print(f"{remark.kind}: {text.safe(remark.what)} ({text.safe(remark.where)})")
    if found.adopted:
        print(f"brought in {len(found.adopted)} folders that had no row")
    if found.refs:
        print(f"gave {found.refs} commits the refs again that keep git from deleting them")
    verdict = f"{len(found.damage)} damaged" if found.damage else "clean"
    print(f"{found.trials} trials, {found.files} files: {verdict}")


def _next(found: audit.Audit) -> tuple[str, str, str]:
    """What can be done about the worst damage; else a look at what was brought in, or at what can go."""
    kinds = {remark.kind for remark in found.damage}
    if kinds & {"no_store", "store_damaged", "row_differs"}:
        return "mitosis check --rebuild", "", " makes the store anew from the folders"
    if kinds == {"commit_gone"}:
        return "git fetch --all", "", ", from a clone that still has the commits"
    if kinds:
        return "mitosis reproduce ID", "", " runs a damaged trial again and says whether the same comes out"
    return f"mitosis show {found.adopted[0]}" if found.adopted else "mitosis gc", "", ""
