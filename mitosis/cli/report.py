"""`mitosis report`: one page, in one file, for chosen trials."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mitosis import charts, looks, stamp
from mitosis.cli import answers, chosen, locate, tables, text
from mitosis.errors import MitosisError, Refused
from mitosis.folder import write_atomic
from mitosis.groups import EVERYTHING
from mitosis.trial import Status, Summary, Trial

_MOST = 100  # trials on a page


@click.command()
@click.argument("trials", metavar="TRIAL...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="The page: FILE.html.",
)
@locate.store_option
def command(trials: tuple[str, ...], output: Path, url: str | None) -> int:
    """Write one HTML page about TRIALs, variants or sweeps: what differs, what came out, the figures.

    The page is one file that loads nothing and runs no script: it can be mailed, and opens anywhere.
    """
    from mitosis.notebook import together

    with locate.required(url, trials[0]) as store:
        project = locate.scope(url)
        found: dict[str, Trial] = {}
        for word in trials:
            found |= {trial.id: trial for trial in chosen.chosen(store, word, project).trials}
        if len(found) > _MOST:
            raise Refused(
                f"{len(found)} trials are too many for one page: at most {_MOST}", "name fewer trials"
            )
        environments = {d: store.environment(d) for d in {t.spec.environment for t in found.values()}}
    listed = list(found.values())
    lines = [answers.summary_of(trial) for trial in listed]
    sources = together.Sources(lines, environments, _blob, _picture(lines))
    content = stamp.stamped(together.page(listed, sources).encode(), [stamp.origin(t) for t in lines])
    try:
        write_atomic(output, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refused(
            f"{text.safe(str(output))} cannot be written: {reason}", "name another: -o FILE"
        ) from error
    print(f"{output}: {len(listed)} trial{'s' if len(listed) != 1 else ''}, {len(content) / 1e6:.1f} MB")
    tables.hint(f"mitosis whence {shlex.quote(str(output))}", after=" says which, wherever it was sent")
    return 0


def _blob(trial: Trial, digest: str) -> bytes | None:
    """The content of a file that a trial loaded; None where its repository is not here, or has it not."""
    from mitosis.capture import git

    repository = Path(trial.spec.code.repository)
    try:
        answer = git.attempt(repository, "cat-file", "blob", digest)
    except MitosisError:
        return None
    return answer.stdout if answer.returncode == 0 else None


def _picture(lines: list[Summary]) -> bytes | None:
    """main by group as SVG, where what draws is installed and there is something to compare."""
    done = [t for t in lines if t.status is Status.SUCCEEDED and not t.taints]
    several = len({t.experiment for t in done}) > 1
    if not looks.available() or several or len({t.variant for t in done}) < 2:
        return None
    try:
        chart = charts.of_metric(done[0].experiment, done, charts.Wanted(by=(EVERYTHING,)))
    except Refused:  # main is no number
        return None
    return looks.rendered(chart, "svg")
