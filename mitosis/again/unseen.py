"""Files that only one of two commits has: a cause, though neither trial names them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from mitosis.capture import shape
from mitosis.differences import Differences, loaded, read
from mitosis.trial import Trial


def added(found: Differences, a: Trial, b: Trial, repository: Path) -> Differences:
    """The differences of two trials with the files that only one of their commits has.

    What lies where one of the trials read an input is data, unless it is Python; all else is code, since
    code can find it without naming it. Raises RepositoryRefused where a commit is not in the repository.
    """
    moved = shape.moved(repository, a.spec.code.commit, b.spec.code.commit)
    known = {*loaded(a), *loaded(b)}
    inputs = {path for t in (a, b) for path in read(t) if path not in known and not path.startswith("/")}
    places = {path.rpartition("/")[0] for path in inputs}
    data = [p for p in moved if p not in known and not p.endswith(".py") and _beside(p, inputs, places)]
    code = [p for p in moved if p not in data]
    return replace(found, unseen_code=tuple(code), unseen_data=tuple(data))


def _beside(path: str, inputs: Iterable[str], places: Collection[str]) -> bool:
    """Is it an input, or in the directory of one, or below that; below the top is everything: not that."""
    above = any(path.startswith(f"{place}/") for place in places if place)
    below = any(path.startswith(f"{name}/") for name in inputs)
    return above or below or path in inputs or path.rpartition("/")[0] in places
