"""What decides a result: finds the trial that stands for a recipe, or says what is new about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mitosis.capture import inputs, judge, origins, shape
from mitosis.errors import RepositoryRefused, TrialRefused
from mitosis.store import Query
from mitosis.trial import CodeState, FileRecord, Status, Trial

if TYPE_CHECKING:
    from mitosis.store import Store

_LOOKED_AT = 20  # candidates; the newest stands first


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides a result, as far as it is known before the trial runs."""

    experiment: str
    module: str
    function: str
    param_set: str  # digest
    seed: int
    code: CodeState
    declared: tuple[FileRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """The trial that stands for a recipe; where there is none, `reason` says what is new."""

    trial: Trial | None
    reason: str = ""


def standing(store: Store, recipe: Recipe) -> Standing:
    """The newest succeeded trial with the same recipe, whose code and data are those of today.

    The code counts by what a trial loaded: a commit that touches none of its modules changes nothing.
    A trial whose record is not proven stands for nothing.
    """
    project = recipe.code.project
    same = Query(project=project, experiment=recipe.experiment, param_set=recipe.param_set)
    found = store.find(replace(same, seed=recipe.seed, status=(Status.SUCCEEDED,), limit=_LOOKED_AT))
    reason = ""
    for line in found:
        trial = store.get(line.id)
        why_not = difference(trial, recipe, store)
        if not why_not:
            return Standing(trial)
        reason = reason or why_not  # of the newest
    if reason:
        return Standing(None, reason)
    if store.find(replace(same, seed=recipe.seed, limit=1)):
        return Standing(None, "it has not succeeded yet")
    return Standing(None, "new seed" if store.find(replace(same, limit=1)) else "new parameters")


def difference(trial: Trial, recipe: Recipe, store: Store) -> str:
    """Why `trial` does not stand for `recipe`; '' where it does."""
    spec, outcome = trial.spec, trial.outcome
    if outcome is None or not outcome.code_identity:
        return f"the code of trial {trial.id} is not known"
    if (spec.module, spec.function) != (recipe.module, recipe.function):
        return f"the entry point was {spec.module}:{spec.function}"
    if outcome.taints:
        return f"the record of trial {trial.id} is not proven"
    known = _code(trial, recipe) or _data(spec.inputs, outcome.inputs, recipe, store)
    return known or _found(trial, recipe)


def _code(trial: Trial, recipe: Recipe) -> str:
    """The first of the modules that the trial loaded which is another one today."""
    assert trial.outcome is not None
    own = {m.path: m.blob for m in trial.outcome.modules if not Path(m.path).is_absolute()}
    today = judge.blobs(Path(recipe.code.repository), recipe.code.commit, set(own))
    changed = sorted(
        path for path, blob in own.items() if today.get(path) != blob and not _built(trial, path)
    )
    others = (m for m in trial.outcome.modules if Path(m.path).is_absolute() and m.origin != "built")
    changed += [m.path for m in others if not _holds(Path(m.path), m.blob)]
    return f"{changed[0]} changed" if changed else ""


def _found(trial: Trial, recipe: Recipe) -> str:
    """The first file that one of the commits alone has and that the trial would have come upon.

    A package is imported in the stead of a module, a pattern finds one file more: what the trial loaded and
    read does not show that. An import that failed then, and would not today, is not known.
    """
    assert trial.outcome is not None
    repository, commits = Path(recipe.code.repository), (trial.spec.code.commit, recipe.code.commit)
    try:
        moved = shape.moved(repository, *commits)
    except RepositoryRefused:
        return f"commit {commits[0][:7]} is gone"
    read = [r.path for r in (*trial.spec.inputs, *trial.outcome.inputs)]
    kinds = {_kind(path) for path in read if not path.startswith("/")}
    for path in moved:
        if _shadows(path, trial) or _kind(path) in kinds:
            return f"{path} is {'new' if shape.has(repository, commits[1], path) else 'gone'}"
    return ""


def _kind(path: str) -> tuple[str, str]:
    """Directory and suffix: what a pattern would find together."""
    file = PurePosixPath(path)
    return str(file.parent), file.suffix


def _shadows(path: str, trial: Trial) -> bool:
    """May the file be imported under the name of a module that the trial loaded."""
    assert trial.outcome is not None
    roots = (
        "",
        "src/",
        *(f"{str(root).strip('/')}/" for root in trial.spec.settings.get("source_roots", ())),
    )
    found = {
        path.removeprefix(root).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for root in roots
    }
    return path.endswith(".py") and any(module.name in found for module in trial.outcome.modules)


def _holds(path: Path, blob: str) -> bool:
    """Does a module of another repository, or distribution, still hold what was loaded."""
    try:
        return origins.blob(path.read_bytes()) == blob
    except OSError:
        return False


def _built(trial: Trial, path: str) -> bool:
    assert trial.outcome is not None
    return any(m.path == path and m.origin == "built" for m in trial.outcome.modules)


def _data(
    declared: Sequence[FileRecord], observed: Sequence[FileRecord], recipe: Recipe, store: Store
) -> str:
    """The first of the inputs that is another one today."""
    then = {r.path: r.digest for r in declared}
    now = {r.path: r.digest for r in recipe.declared}
    for path in sorted({*then, *now}):
        if then.get(path) != now.get(path):
            return f"{path} changed" if path in then and path in now else f"{path} is another declared input"
    cache = store.digests()
    for record in observed:
        file = Path(recipe.code.repository, record.path)
        try:
            same = inputs.digest(file, cache) == record.digest
        except TrialRefused:
            return f"{record.path} is gone"
        if not same:
            return f"{record.path} changed"
    return ""
