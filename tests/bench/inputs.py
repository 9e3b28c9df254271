"""Rows: digesting a declared input of 1 GB, and 10,000 observed files, for the first time and again."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from mitosis.capture import inputs, judge
from mitosis.store import Store
from mitosis.trial import CodeState
from tests.bench.measure import Cost, Row, Sides, process, timed
from tests.bench.place import Place

OBSERVED_BYTES = 4096  # of each of the observed files


def _file(place: Place) -> Path:
    """A file of 1 GB that is old enough to be remembered."""
    path = place.path / "declared.bin"
    if not path.exists():
        with path.open("wb") as file:
            for number in range(place.size(1000, 10)):
                file.write(random.Random(number).randbytes(1_000_000))
        time.sleep(3)
    return path


def _files(place: Place) -> list[str]:
    """The paths of 10,000 files of 4 KiB, outside of every repository."""
    folder = place.path / "observed"
    if not folder.exists():
        for number in range(place.size(10_000, 100)):
            file = folder / f"{number % 100:02}" / f"{number:05}.bin"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(random.Random(number).randbytes(OBSERVED_BYTES))
        time.sleep(3)
    return sorted(str(f) for f in folder.glob("*/*"))


def _fresh_stores(place: Place, kind: str) -> Iterator[str]:
    """The addresses of stores that remember nothing yet, each made when it is asked for."""
    for number in itertools.count():
        path = place.path / f"{kind}-{os.getpid()}-{number}.db"
        Store.open(path).close()
        yield str(path)


@contextlib.contextmanager
def _declared(place: Place, again: bool) -> Iterator[Sides]:
    path = _file(place)
    stores = _fresh_stores(place, "declared")
    known = next(stores)

    def digest(url: str) -> None:
        with Store.open(url) as store:
            inputs.declared((str(path),), place.path, store.digests())

    digest(known)
    yield Sides(
        ours=lambda: _digested(digest, known if again else next(stores)),
        theirs=lambda: process(["sha256sum", str(path)], place.path),
    )


@contextlib.contextmanager
def _observed(place: Place, again: bool) -> Iterator[Sides]:
    paths = _files(place)
    top = place.repository("noop")
    state = CodeState("0" * 40, "main", False, "bench", str(top), tree=str(top))
    seen = {"inputs": [{"path": p, "state": _state(p)} for p in paths]}
    stores = _fresh_stores(place, "observed")
    known = next(stores)

    def digest(url: str) -> None:
        with Store.open(url) as store:
            found = judge.judge(state, (), seen, store.digests())
        assert len(found.inputs) == len(paths), found.taints[:3]

    digest(known)
    yield Sides(
        ours=lambda: _digested(digest, known if again else next(stores)),
        theirs=lambda: process(["sha256sum", *paths], place.path),
    )


def _digested(digest: object, url: str) -> Cost:
    """The cost of `digest(url)`; the store is made before the clock starts."""
    assert callable(digest)
    return timed(lambda: digest(url))


def _state(path: str) -> list[int]:
    status = os.stat(path)  # noqa: PTH116 - as the guard does
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


ROWS = (
    Row("input-first", "hashing a declared input of 1 GB", "`sha256sum`", 1.2, lambda p: _declared(p, False)),
    Row("input-again", "the same input again", "`sha256sum`", 0.02, lambda p: _declared(p, True)),
    Row(
        "observed-first",
        "digesting 10,000 observed files of 4 KiB",
        "`sha256sum` of them",
        1.5,
        lambda p: _observed(p, False),
    ),
    Row("observed-again", "the same files again", "`sha256sum` of them", 0.2, lambda p: _observed(p, True)),
)
