"""`mitosis figures`: copies the figures of trials out, under names that stay the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from mitosis import stamp
from mitosis.cli import locate, tables
from mitosis.errors import Refused, TrialNotFound
from mitosis.folder import TrialFolder, write_atomic
from mitosis.trial import Trial

_FORMATS = ("png", "svg", "pdf", "jpeg", "jpg", "csv")


@click.command()
@click.argument("trials", metavar="TRIAL...", nargs=-1, required=True)
@click.option(
    "--format", "kind", type=click.Choice(_FORMATS, case_sensitive=False), help="Only in this format."
)
@click.option(
    "-o",
    "--output",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to; made where it is not there. Default: the working directory.",
)
@locate.store_option
def command(trials: tuple[str, ...], kind: str | None, directory: Path, url: str | None) -> int:
    """Copy the figures of each TRIAL out: digits-svm-seed3-Confusion-matrix.png.

    The names hold no id, so that a document that shows the figure finds the newer one; the file itself says
    which trial it came from (mitosis whence). Only files that mitosis copied are replaced.
    """
    with locate.required(url, trials[0]) as store:
        found = {trial.id: trial for trial in (store.get(name, locate.scope(url)) for name in trials)}
    copies: dict[str, tuple[Trial, Path]] = {}
    for trial in found.values():
        for name, source in _figures(trial, kind):
            if copies.setdefault(name, (trial, source))[0] is not trial:
                other = copies[name][0]
                raise Refused(
                    f"{other.id} and {trial.id} would both be copied to {name}",
                    "copy them one at a time, into different directories: -o DIR",
                )
    _write(copies, directory)
    first = shlex.quote(str(directory / next(iter(copies))))
    tables.hint(f"mitosis whence {first}", after=", whatever it is called then")
    return 0


def _figures(trial: Trial, kind: str | None) -> Iterator[tuple[str, Path]]:
    """What to call each figure of the trial, and where it lies; refused where there is none to copy."""
    spec = trial.spec
    folder = TrialFolder(spec.folder)
    names = trial.outcome.figures if trial.outcome else ()
    kind = "jpeg" if kind == "jpg" else kind
    chosen = [n for n in names if kind in (None, n.rpartition(".")[2].lower())]
    if not chosen:
        has = sorted({n.rpartition(".")[2] for n in names} - {"csv"})
        what = f"no {kind} figure, but {', '.join(has)}" if has else "no figure"
        todo = f"keep that format when it runs: mitosis.figure_formats=[{', '.join([*has, str(kind)])}]"
        if not has or kind == "csv":
            todo = f"see what there is: mitosis show {trial.id}"
        raise TrialNotFound(f"trial {trial.id} has {what}", todo)
    prefix = "-".join(filter(None, (_slug(w) for w in (spec.experiment, _variant(trial)))))
    gone = [name for name in chosen if not (folder.figures / name).exists()]
    if gone:
        what = f"the figure {gone[0]} of trial {trial.id} is gone from {folder.figures}"
        raise TrialNotFound(
            what, f"run it again: mitosis reproduce {trial.id}; what else is gone: mitosis check"
        )
    for name in chosen:
        yield f"{prefix}-seed{spec.seed}-{name}", folder.figures / name


def _variant(trial: Trial) -> str:
    """The label, less a choice that only says the experiment's name again: digits,model=svm of digits."""
    label, name = trial.spec.variant, trial.spec.experiment
    return "" if label == name else label.removeprefix(f"{name},")


def _slug(words: str) -> str:
    return re.sub(r"[^\w.]+", "-", words).strip("-.")


def _write(copies: dict[str, tuple[Trial, Path]], directory: Path) -> None:
    foreign = [n for n in copies if (directory / n).exists() and not _ours(directory / n)]
    if foreign:
        raise Refused(
            f"{directory / foreign[0]} is there and is not from mitosis: nothing was copied",
            "rename it, or copy into another directory: -o DIR",
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, (trial, source) in copies.items():
            write_atomic(directory / name, stamp.stamped(source.read_bytes(), [stamp.origin(trial.spec)]))
            print(directory / name)
    except OSError as error:
        raise Refused(f"a figure cannot be copied: {error}", "choose another directory: -o DIR") from error


def _ours(file: Path) -> bool:
    """Whether the file is a copy of ours: it has a mark, or is a table of what a figure plots."""
    content = file.read_bytes()
    return bool(stamp.origins(content)) or content.startswith(b"kind,label,index,x,y,z,value\n")
