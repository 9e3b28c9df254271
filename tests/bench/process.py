"""Rows: one no-op trial as a whole process, and the bytes that it leaves."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Cost, Row, Sides, process
from tests.bench.place import Place, mitosis

FOLDER_BYTES = 40_000
CELLS = ("from noop import run", "run(seed=7)")


def jupyter_execute() -> list[str]:
    """The command `jupyter execute` of the interpreter that runs the benchmark."""
    script = Path(sys.executable).with_name("jupyter")
    if script.exists():
        return [str(script), "execute"]
    return [sys.executable, "-m", "jupyter", "execute"]


@contextlib.contextmanager
def _whole(place: Place) -> Iterator[Sides]:
    repository, env = place.repository("noop"), place.environ()
    notebook = place.notebook("noop", *CELLS)
    shutil.copy(repository / "noop.py", notebook.parent)
    seeds = itertools.count()
    yield Sides(
        ours=lambda: process(mitosis("experiment=noop", f"seed={next(seeds)}"), repository, env),
        theirs=lambda: process([*jupyter_execute(), str(notebook)], notebook.parent, env),
    )


@contextlib.contextmanager
def _folder(place: Place) -> Iterator[Sides]:
    repository, env = place.repository("noop"), place.environ()

    def left() -> Cost:
        process(mitosis("experiment=noop"), repository, env)
        trials = repository / "trials" / "noop"
        latest = max(
            trials.iterdir(), key=lambda p: json.loads((p / "trial.json").read_text())["spec"]["started_at"]
        )
        return Cost(sum(f.stat().st_size for f in latest.rglob("*") if f.is_file()))

    yield Sides(ours=left, theirs=lambda: Cost(FOLDER_BYTES))


ROWS = (
    Row(
        "process",
        "one no-op trial, whole process",
        "`jupyter execute` of the bare notebook",
        1.0,
        _whole,
        accepted=1.3,
    ),
    Row("folder", "a no-op trial's folder", "40,000 bytes", 1.0, _folder, unit="B", warm=False),
)
