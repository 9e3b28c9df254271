"""Rows: `mitosis ls`, and the start and end of a trial, in a store of a million trials."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from mitosis import settle
from mitosis.store import Store
from mitosis.trial import new_id
from tests.bench import fill
from tests.bench.measure import Cost, Row, Sides, process, timed
from tests.bench.place import Place, mitosis


def filled(place: Place, trials: int) -> Path:
    """The store with so many trials, made where it is not there."""
    path = place.path / "stores" / f"{trials}.db"
    if not path.with_suffix(".made").exists():
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        fill.fill(path, trials)
        path.with_suffix(".made").touch()
    return path


@contextlib.contextmanager
def _ls(place: Place) -> Iterator[Sides]:
    store = filled(place, place.size(1_000_000, 2_000))
    repository, env = place.repository("listed"), place.environ()
    if not (repository / "trials").exists():
        (repository / "trials").mkdir()
        place.git(repository, "remote", "add", "origin", fill.PROJECTS[0])
    settle.leave_pointer(repository, repository / "trials", f"sqlite:///{store}", fill.PROJECTS[0])
    imports = [sys.executable, "-c", "import sqlalchemy, click"]
    yield Sides(
        ours=lambda: process(mitosis("ls"), repository, env),
        theirs=lambda: process(imports, repository, env),
    )


READING = {
    "where-params": ("ls", "--all-projects", "--where", "params.dt < 0.01 and metrics.loss > 0.9"),
    "where-none": ("ls", "--all-projects", "--where", "params.dt > 1e9 or note contains 'no such'"),
    "sort-params": ("ls", "--all-projects", "--sort", "-params.dt"),
    "group-by": ("ls", "--all-projects", "--group-by", "status"),
    "show": ("show", "@1"),
    "compare": ("compare", "--all-projects", "--by", "branch"),
    "plot": ("plot", "main", "--all-projects", "--by", "branch", "-o", "plot.png"),
}
"""Commands whose answer has about the same size whatever the store holds."""


def _reading(words: tuple[str, ...]) -> Callable[[Place], contextlib.AbstractContextManager[Sides]]:
    @contextlib.contextmanager
    def sides(place: Place) -> Iterator[Sides]:
        large, small = filled(place, place.size(100_000, 2_000)), filled(place, 100)
        repository, env = place.repository("listed"), place.environ()
        yield Sides(
            ours=lambda: process(mitosis(*words, "--store", str(large)), repository, env),
            theirs=lambda: process(mitosis(*words, "--store", str(small)), repository, env),
        )

    return sides


@contextlib.contextmanager
def _start_and_finish(place: Place) -> Iterator[Sides]:
    large, small = filled(place, place.size(1_000_000, 2_000)), filled(place, 1_000)
    times = place.size(50, 5)
    numbers = itertools.count()

    def cost(path: Path) -> Cost:
        with Store.open(path) as store:

            def trials() -> None:
                for _ in range(times):
                    number = next(numbers)
                    filed = replace(fill.spec(number), id=new_id())
                    store.start(filed, {})
                    store.finish(filed.id, fill.outcome())

            whole = timed(trials)
        assert whole.cpu is not None
        return Cost(whole.value / times, whole.cpu / times)

    yield Sides(ours=lambda: cost(large), theirs=lambda: cost(small))


ROWS = (
    Row(
        "ls",
        "`mitosis ls` with 1,000,000 trials in the store",
        '`python -c "import sqlalchemy, click"`',
        2.0,
        _ls,
        pairs=15,
    ),
    Row(
        "start-finish",
        "start and finish of a trial with 1,000,000 rows",
        "the same with 1,000 rows",
        1.3,
        _start_and_finish,
        pairs=9,
    ),
    *(
        Row(
            f"read-{name}",
            f"`mitosis {shlex.join(words)}` with 100,000 trials",
            "the same with 100",
            2.0,
            _reading(words),
            pairs=7,
        )
        for name, words in READING.items()
    ),
)
