"""`mitosis whence`: which trial a picture came from, by the file alone."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

import click

from mitosis import stamp
from mitosis.cli import answers, locate, tables, text
from mitosis.errors import MitosisError, Refused, TrialNotFound
from mitosis.trial import Summary


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@locate.store_option
def command(file: Path, as_json: bool, url: str | None) -> int:
    """Say which trial FILE (a picture, a report, a notebook) came from, however it was renamed.

    The answer is in the file; where the store knows the trial, its line is added. No repository is needed.
    """
    if file.exists() and not file.is_file():  # to read a pipe would wait for ever
        raise Refused(f"{file} is no file", "name a picture, a report or a notebook")
    try:
        found = stamp.origins(file.read_bytes())
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror or error}", "name a file") from error
    if not found:
        raise TrialNotFound(
            f"{file} does not say which trial it came from",
            "a program that saved it anew may have dropped its keywords; ask the original file",
        )
    known = _known(found, url)
    if as_json:
        documents = [
            {
                "id": origin.trial,
                "commit": origin.commit,
                "param_set": origin.param_set,
                "trial": answers.line(known[origin.trial]) if origin.trial in known else None,
            }
            for origin in found
        ]
        answers.emit({"file": str(file.absolute()), "trials": documents})
        return 0
    for origin in found:
        line = known.get(origin.trial)
        print(_line(line) if line is not None else f"trial {origin.trial}, which this store does not know")
        print(f"  commit {origin.commit}")
        print(f"  parameter set {origin.param_set}")
    if found[0].trial in known:
        tables.hint(f"mitosis show {found[0].trial}")
    else:
        tables.hint(f"mitosis whence {shlex.quote(str(file))} --store URL", after=", where its store is")
    return 0


def _known(found: tuple[stamp.Origin, ...], url: str | None) -> dict[str, Summary]:
    """Those of the trials that the store has; without a store the file still speaks for itself."""
    known: dict[str, Summary] = {}
    try:
        with locate.opened(url) as store:
            if store is None:
                return known
            removed = store.removed([origin.trial for origin in found])
            for origin in found:
                with contextlib.suppress(TrialNotFound):  # of another store
                    trial = store.get(origin.trial)
                    known[origin.trial] = answers.summary_of(trial, trial.id in removed)
    except MitosisError:
        if url is not None:
            raise
    return known


def _line(trial: Summary) -> str:
    name = f"{text.safe(trial.experiment)}  {text.safe(trial.variant)}  seed={trial.seed}"
    return f"trial {trial.id}  {name}  {trial.status.value}  main={text.number(trial.main)}"
