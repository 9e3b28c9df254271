"""The lines and words in which trials are told, shared by the commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from mitosis import identity, telling
from mitosis.folder import TrialFolder
from mitosis.trial import JSON, NOT_FILED, Status, Trial

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # these turn text round


_LONGEST = 160  # characters of a cell


def safe(value: str) -> str:
    """`value` on one line, without control characters: nothing recorded drives a terminal."""
    printable = value.encode("utf-8", "backslashreplace").decode()  # a file name need not be UTF-8
    return _CONTROL.sub("�", re.sub(r"[\t\r\n\u2028\u2029]+", " ", printable))


def brief(value: str) -> str:
    """As `safe`, and no longer than a table bears: a list of thousands may be a parameter."""
    line = safe(value)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def safe_lines(value: str) -> list[str]:
    """The lines of a text, each as `safe` has it."""
    return [safe(line) for line in value.rstrip("\n").split("\n")]


def number(value: JSON) -> str:
    """A number with up to six significant digits; any other JSON value as its text."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not -(10**15) < value < 10**15:
        return identity.shown(value, 24)
    return safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def seconds(value: float | None) -> str:
    """A duration as people say it; `-` where there is none."""
    return telling.duration(value) or "-"


def size(count: int) -> str:
    """A number of bytes as people say it: `512 B`, `1.3 MB`."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def local(iso: str | None) -> str:
    """A time of the record in the reader's own zone, to the minute; `-` where there is none."""
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M") if iso else "-"


def closing_line(trial: Trial, name: str) -> str:
    """`name`, status, main, seconds and the report of a finished trial, in one line."""
    outcome = trial.outcome
    assert outcome is not None
    main = f"main={number(outcome.main)}  " if outcome.status is Status.SUCCEEDED else ""
    report = TrialFolder(trial.spec.folder).html
    where = f"  {_relative(report)}" if report.exists() else ""
    odd = "  expectation refuted" if outcome.expectation == "refuted" else ""
    line = f"{name} {outcome.status.value}  {main}{seconds(outcome.seconds)}{odd}{where}"
    return "\n".join([*(f"taint {t.kind}: {safe(t.what)} ({safe(t.where)})" for t in outcome.taints), line])


def unfiled(trial: Trial, naming: Callable[[str], str]) -> str:
    """Where the end of a trial is kept that the store could not be told of; '' where it was told."""
    note = next((n for n in trial.outcome.notes if n.kind == NOT_FILED), None) if trial.outcome else None
    if note is None:
        return ""
    todo = "is lost: its folder cannot be written either. Mend the disk, then: mitosis check"
    if note.where:
        todo = f"is kept in {safe(note.where)}; the next command files it when the store is back"
    return f"mitosis: {safe(note.what)}\n  how {naming(trial.id)} ended {todo}"


def failure(trial: Trial) -> str:
    """Why a trial did not succeed: the user's own traceback where there is one, else the reason."""
    error = trial.outcome.error if trial.outcome is not None else None
    if error is None:
        return "no reason was recorded"
    unfound = error.kind in ("ModuleNotFoundError", "ImportError", "AttributeError")
    if unfound and '  File "' not in error.traceback:
        return f"{trial.spec.experiment}: {safe(error.message)}\n  {safe(_looked_for(trial))}"
    if error.traceback:
        told = trial.status is Status.FAILED and not error.kind.endswith("InstantiationException")
        reason = "" if told else f"\n{trial.spec.experiment}: {_told(error.message)}"
        return "\n".join(safe_lines(error.traceback)) + reason
    return f"{trial.spec.experiment}: {_told(error.message)}"


def _told(message: str) -> str:
    return "\n".join(safe_lines(message))


def _looked_for(trial: Trial) -> str:
    """Which key names the experiment's function, and where its module was looked for."""
    spec = trial.spec
    places = [spec.code.tree or spec.code.repository, "its src/", *spec.settings.get("source_roots", ())]
    return (
        f"experiment.module and experiment.function (conf/experiment/{spec.experiment}.yaml) name "
        f"{spec.module}:{spec.function}, looked for in {', '.join(map(str, places))} (mitosis.source_roots "
        "adds more) and among the installed packages"
    )


def outcomes(sweep: str, name: str, counts: Mapping[Status, int], skipped: int, size: int | None) -> str:
    """The table of outcomes that ends a sweep, `name` for short.

    `skipped` jobs have an earlier trial that stands for them.
    """
    rows = [(s.value, counts[s]) for s in Status if counts.get(s)]
    rows += [("stood for", skipped)] if skipped else []
    missing = (size or 0) - sum(counts.values()) - skipped
    if missing > 0:
        rows.append(("not begun", missing))
    lines = "\n".join(f"  {name:<12} {count:>6}" for name, count in rows) or "  no trial was begun"
    return f"sweep {sweep}\n{lines}\nnext: mitosis ls --sweep {name}"


def _relative(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
