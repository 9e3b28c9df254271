"""`mitosis tag`: put tags and a note on trials, or take them off."""

from __future__ import annotations

import shlex
import sys

import click

from mitosis import labels
from mitosis.cli import answers, locate, tables, text
from mitosis.errors import SelectionRefused


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", metavar="TRIAL... [+TAG] [-TAG]...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--note", metavar="TEXT", help="The note instead of the one there is; '' for none.")
@click.option("--json", "as_json", is_flag=True, help="The trials as one JSON document.")
@locate.store_option
def command(words: tuple[str, ...], note: str | None, as_json: bool, url: str | None) -> int:
    """Put +TAG on each TRIAL and take -TAG off; what the trial did and gave stays as it is."""
    names = [word for word in words if word[0:1] not in ("+", "-")]
    add = [labels.check(word[1:]) for word in words if word.startswith("+")]
    remove = [word[1:] for word in words if word.startswith("-")]
    if odd := [word for word in words if word.startswith("--")]:
        raise SelectionRefused(f"there is no option {odd[0]}", "see `mitosis tag --help`")
    if not names or not (add or remove or note is not None):
        raise SelectionRefused("nothing to do", "write mitosis tag TRIAL +good -draft, or --note 'a text'")
    with locate.required(url, names[0]) as store:
        trials = [store.get(name, locate.scope(url)) for name in names]
        for trial in trials:
            _, remark = labels.put(store, trial, add, remove, note)
            if remark is not None:
                print(f"note: {text.safe(remark.what)}", file=sys.stderr)
        found = [store.get(trial.id) for trial in trials]
        removed = store.removed([trial.id for trial in trials])
        short = store.brief("id", [trial.id for trial in found])
    if as_json:
        answers.emit([answers.line(answers.summary_of(trial, trial.id in removed)) for trial in found])
        return 0
    for trial in found:
        spec = trial.spec
        said = f": {' '.join(spec.tags) or '(no tag)'}{f'  {spec.note}' if spec.note else ''}"
        name = f"{short[trial.id]} {spec.experiment} {spec.variant} seed={spec.seed}"
        print(text.safe(name + said).replace("\n", " "))
    kept = [tag for tag in add if tag in found[0].spec.tags]
    tables.hint(f"mitosis ls --tag {shlex.quote(kept[0])}" if kept else f"mitosis show {short[found[0].id]}")
    return 0
