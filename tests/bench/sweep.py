"""Row: one more trial of a serial sweep."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Cost, Row, Sides, process
from tests.bench.place import Place, mitosis
from tests.bench.process import CELLS


def more(long: Cost, short: Cost, trials: int) -> Cost:
    """What each of the `trials` cost that the long sweep has and the short one has not."""
    assert long.cpu is not None and short.cpu is not None
    return Cost((long.value - short.value) / trials, (long.cpu - short.cpu) / trials)


@contextlib.contextmanager
def warm_process(notebook: Path, place: Place) -> Iterator[subprocess.Popen[str]]:
    """A process that executes `notebook` once for each line; see warm.py."""
    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("warm.py")), str(notebook)],
        cwd=notebook.parent,
        env=place.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield worker
    finally:
        worker.communicate()


@contextlib.contextmanager
def _serial(place: Place) -> Iterator[Sides]:
    repository, env = place.repository("noop"), place.environ()
    notebook = place.notebook("noop", *CELLS)
    shutil.copy(repository / "noop.py", notebook.parent)
    long, short, times = place.size(50, 3), place.size(5, 1), place.size(5, 1)

    def sweep(trials: int) -> Cost:
        seeds = "seed=" + ",".join(map(str, range(trials)))
        return process(mitosis("-m", "experiment=noop", seeds), repository, env)

    with warm_process(notebook, place) as worker:
        assert worker.stdin is not None and worker.stdout is not None

        def execute() -> Cost:
            worker.stdin.write(f"{times}\n")
            worker.stdin.flush()
            answer = json.loads(worker.stdout.readline())
            return Cost(answer["seconds"], answer["cpu"])

        yield Sides(ours=lambda: more(sweep(long), sweep(short), long - short), theirs=execute)


ROWS = (
    Row(
        "sweep",
        "one more trial of a 50-trial serial sweep",
        "`NotebookClient.execute()` of the bare notebook in a warm process",
        0.20,
        _serial,
    ),
)
