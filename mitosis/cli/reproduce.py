"""`mitosis reproduce`: run a recorded recipe again and say whether the same comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mitosis.cli import answers, bench, locate, tables, text
from mitosis.trial import Status, Trial, plain

if TYPE_CHECKING:
    from mitosis.again.reproduce import Reproduction

_CODES = {"different": 2, "impossible": 1}  # every other verdict is 0
_NEXT = {"different": "noise", "impossible": "rerun"}
"""How much chance makes; today's code, where the recorded one cannot run; of every other, what it says."""


@click.command()
@click.argument("trial")
@click.option("--rtol", type=float, default=1e-9, show_default=True, help="Relative tolerance of numbers.")
@click.option("--atol", type=float, default=0.0, show_default=True, help="Absolute tolerance of numbers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@locate.store_option
def command(trial: str, rtol: float, atol: float, as_json: bool, url: str | None) -> int:
    """Run the recorded recipe of TRIAL again, from a checkout of its commit, and compare what comes out."""
    from mitosis.again import reproduce
    from mitosis.again.likeness import Tolerance
    from mitosis.notebook import forking

    with locate.required(url, trial) as store:
        found = store.get(trial, locate.scope(url))
        place = bench.opened(store, found, url)
        forking.prestart(place.repository)
        done = reproduce.reproduce(store, place, found, Tolerance(rtol, atol), bench.Steps())
    if as_json:
        answers.emit(_document(found, done))
    else:
        print("\n".join(_lines(found, done)))
        tables.hint(f"mitosis {_NEXT.get(done.verdict, 'show')} {found.id}")
    if done.trial is not None and done.trial.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return _CODES.get(done.verdict, 0)


def _lines(trial: Trial, done: Reproduction) -> Iterator[str]:
    if done.environment:
        yield "the environment is another than the recorded one:"
        for change in done.environment:
            old, new = (" ".join(map(str, side)) or "(absent)" for side in (change.a, change.b))
            yield f"  {text.safe(change.name)}  {text.safe(old)} -> {text.safe(new)}"
    for difference in done.differences:
        yield f"  {text.safe(difference.what)}: {text.safe(difference.how)}"
    if done.reason:
        yield from text.safe_lines(done.reason)
    if done.note is not None:
        yield f"note {done.note.kind}: {text.safe(done.note.what)}"
    by = f" by {done.trial.id}" if done.trial is not None else ""
    verdict = done.verdict
    if done.not_compared:
        only = " in metrics" if verdict == "identical" else ""
        verdict = f"{verdict}{only}; the result was not kept and not compared"
    yield f"{trial.id} reproduced{by}: {verdict}" if by else verdict


def _document(trial: Trial, done: Reproduction) -> dict[str, object]:
    return {
        "verdict": done.verdict,
        "of": trial.id,
        "trial": done.trial.id if done.trial is not None else None,
        "differences": [
            {"what": d.what, "how": d.how, "likeness": d.likeness.value, "size": d.size}
            for d in done.differences
        ],
        "environment": [plain(c) for c in done.environment],
        "reason": done.reason,
        "not_compared": list(done.not_compared),
    }
