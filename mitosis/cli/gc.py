"""`mitosis gc`: deletes what mitosis made and nothing needs any more."""

from __future__ import annotations

import sys

import click

from mitosis import garbage
from mitosis.cli import answers, locate, tables, text
from mitosis.errors import Refused
from mitosis.trial import plain

_AGE = "30d"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.command()
@click.option("--yes", is_flag=True, help="Do it; without this only say what would be done.")
@click.option(
    "--older-than",
    default=_AGE,
    show_default=True,
    metavar="AGE",
    help="Of the trash: what was removed that long ago: 12h, 30d, 0d.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@locate.store_option
def command(yes: bool, older_than: str, as_json: bool, url: str | None) -> int:
    """Delete checkouts that no trial needs, old trash, and what killed processes left half written.

    Trials that are not in the trash are never touched, and what is known of deleted ones stays.
    """
    seconds = _seconds(older_than)
    failed = []
    with locate.opened(url) as store:
        root = locate.root_or_guess(locate.url_of(url))
        found = garbage.find(store, root, seconds) if store is not None else []
        if yes:
            failed = [r for r in (garbage.delete(item) for item in found) if r is not None]
    if as_json:
        answers.emit({"done": yes, "items": [plain(i) for i in found], "failed": [plain(r) for r in failed]})
    else:
        for item in found:
            line = f"{item.kind:<10} {text.size(item.size):>9}  {text.safe(item.what)}  ({item.why})"
            print(f"{'deleted' if yes else 'would delete'} {line}")
        print(f"{len(found)} things, {text.size(sum(i.size for i in found))}", end="")
        print("" if yes or not found else "; nothing was done; add --yes to do it")
    for remark in failed:
        print(f"mitosis: {text.safe(remark.what)}", file=sys.stderr)
    if not as_json:
        age = f" --older-than {older_than}" * (older_than != _AGE)
        tables.hint("mitosis check" if yes or not found else f"mitosis gc{age} --yes")
    return 2 if failed else 0


def _seconds(age: str) -> float:
    if age[:-1].isdecimal() and age[-1] in _UNITS:
        return float(int(age[:-1]) * _UNITS[age[-1]])
    raise Refused(f"{age!r} is no age", "write a number and s, m, h, d or w: 12h, 30d")
