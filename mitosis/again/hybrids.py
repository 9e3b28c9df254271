"""Trials between two trials: some causes as in a, the others as in b; found in the record, or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis import differences
from mitosis.again import recorded, reproduce
from mitosis.again.recorded import Bench, Impossible, Recorded
from mitosis.capture import checkout, environment, inputs, judge, synthesis
from mitosis.differences import Differences
from mitosis.display import Display
from mitosis.errors import MitosisError, TrialRefused
from mitosis.trial import FileRecord, Status, Trial

if TYPE_CHECKING:
    from mitosis.store.store import Store

PARTS = ("params", "code", "inputs", "seed")
"""The causes that can be exchanged; the environment is what it is here."""

_LOOKED_AT = 50  # recorded trials that may stand for a hybrid


@dataclass(frozen=True, slots=True)
class Pair:
    """Two trials, what differs between them, and how their code is split."""

    a: Trial
    b: Trial
    found: Differences
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # "code:pkg" -> paths; {}: one piece

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes that differ and can be exchanged, the groups of code in the place of `code`."""
        there = [c for c in PARTS if c in self.found.causes]
        split = tuple(self.groups)
        return tuple(c for cause in there for c in (split if split and cause == "code" else (cause,)))


@dataclass(frozen=True, slots=True)
class Hybrid:
    """A trial with some causes taken from b: the one that stands for it, or why there is none."""

    taken: frozenset[str]
    trial: Trial | None
    reused: bool = False
    reason: str = ""  # why it could not be run, or did not succeed


def split(repository: Path, pair: Pair, by: str) -> Pair:
    """The pair with its code in groups: by "file", by "package", by neither ("none"), or as few trials allow.

    "auto" splits by package where that makes at most four causes. The entry point is of no file, so that a
    pair in which it differs stays in one piece. Raises RepositoryRefused where git cannot tell.
    """
    loaded = [c.name for c in pair.found.files if not c.name.startswith("/")]
    if by == "none" or len(loaded) < 2 or pair.found.entry_point:
        return pair
    commits = (pair.a.spec.code.commit, pair.b.spec.code.commit)
    data = {*differences.read(pair.a), *differences.read(pair.b)} - set(loaded)
    every = [path for path in synthesis.changed(repository, *commits) if path not in data]
    groups = _grouped(loaded, every, by)
    others = len(pair.causes) - 1
    if len(groups) < 2 or (by == "auto" and others + len(groups) > 4):
        return pair
    return replace(pair, groups=groups)


def _grouped(loaded: Sequence[str], every: Sequence[str], by: str) -> dict[str, tuple[str, ...]]:
    """The groups of loaded files that differ; files that nobody loaded go with the group they lie in."""
    deepest = max(len(Path(p).parts) for p in loaded)
    depth = deepest
    if by != "file":  # the shallowest directories that tell some of them apart
        depth = next((d for d in range(1, deepest) if len({_key(p, d) for p in loaded}) > 1), deepest)
    names = sorted({_key(p, depth) for p in loaded})
    return {f"code:{n}": tuple(p for p in (*every,) if _key(p, depth) == n) for n in names}


def _key(path: str, depth: int) -> str:
    return "/".join(Path(path).parts[:depth])


def recipe(pair: Pair, taken: frozenset[str]) -> Recorded:
    """The recipe of a with the causes `taken` from b. Raises Impossible."""

    def side(cause: str) -> Trial:
        return pair.b if cause in taken else pair.a

    values = recorded.with_seed(recorded.recorded(side("params")), side("seed").spec.seed)
    code, moved = _code(pair, taken)
    own = recorded.recorded(code)
    return replace(
        own,
        experiment=code.spec.experiment,
        params=values.params,
        param_set=values.param_set,
        label=values.label,
        variants=values.variants,
        seed=values.seed,
        inputs=_inputs(pair, side("inputs")),
        donors=tuple(dict.fromkeys((side("inputs").spec.code.commit, pair.a.spec.code.commit,
                                    pair.b.spec.code.commit))),
        taken=moved,
        branch=None,
        writes=any(recorded.recorded(t).writes for t in (pair.a, pair.b)),
    )  # fmt: skip


def _code(pair: Pair, taken: frozenset[str]) -> tuple[Trial, dict[str, str | None]]:
    """The trial that the code is of, and the files in it that are the other's."""
    chosen = [g for g in pair.groups if g in taken]
    if not pair.groups:
        return (pair.b if "code" in taken else pair.a), {}
    if len(chosen) == len(pair.groups):
        return pair.b, {}
    return pair.a, {path: pair.b.spec.code.commit for group in chosen for path in pair.groups[group]}


def _inputs(pair: Pair, side: Trial) -> tuple[FileRecord, ...]:
    """The inputs of one side, and those that the other alone reads; files that are code are none."""
    other = pair.a if side is pair.b else pair.b
    code = differences.loaded(pair.a).keys() | differences.loaded(pair.b).keys()
    records = {**differences.read(other), **differences.read(side)}
    return tuple(r for path, r in records.items() if path not in code)


def found(store: Store, bench: Bench, wanted: Recorded) -> Trial | None:
    """A recorded trial of that recipe that ran in today's environment and is proven; None: there is none.

    Raises Impossible where the recipe's commit is gone.
    """
    from mitosis.store.store import Query

    question = Query(
        project=wanted.project,
        experiment=wanted.experiment,
        param_set=wanted.param_set.digest,
        seed=wanted.seed,
        status=(Status.SUCCEEDED,),
        limit=_LOOKED_AT,
    )
    lines = [line for line in store.find(question) if not line.taints]
    if not lines:
        return None
    commit, today = recorded.commit_of(bench, wanted), environment.digest(environment.collect())
    for line in lines:
        trial = store.get(line.id)
        if trial.spec.environment == today and _stands(bench, trial, wanted, commit, store.digests()):
            return trial
    return None


def _stands(bench: Bench, trial: Trial, wanted: Recorded, commit: str, cache: inputs.DigestCache) -> bool:
    """Did the trial load what `commit` holds, and read what the recipe says."""
    if (trial.spec.module, trial.spec.function) != (wanted.module, wanted.function):
        return False
    settings = {k: v for k, v in trial.spec.settings.items() if k in ("seed_globals", "source_roots")}
    if settings != {k: v for k, v in wanted.settings.items() if k in ("seed_globals", "source_roots")}:
        return False
    own = {p: b for p, b in differences.loaded(trial).items() if not p.startswith("/")}
    if not own or judge.blobs(bench.repository, commit, set(own)) != own:
        return False
    expected = {r.path: r.digest for r in wanted.inputs}
    tree: Path | None = None
    for path, record in differences.read(trial).items():
        if path not in expected:
            tree = tree or checkout.checkout(bench.repository, commit, checkout.place(bench.root, commit))
            try:
                expected[path] = inputs.digest(tree / path, cache)
            except TrialRefused:
                return False
        if expected[path] != record.digest:
            return False
    return True


def made(
    store: Store, bench: Bench, pair: Pair, taken: frozenset[str], display: Display, reuse: bool = True
) -> Hybrid:
    """The hybrid: found in the record, or run now. One that cannot run says why."""
    try:
        wanted = recipe(pair, taken)
        there = found(store, bench, wanted) if reuse else None
        if there is not None:
            return Hybrid(taken, there, reused=True)
        why = f"{pair.a.id[:7]} with {' and '.join(sorted(taken)) or 'nothing'} of {pair.b.id[:7]}"
        new = recorded.run(bench, wanted, display, why, "why")
    except MitosisError as error:
        if not isinstance(error, Impossible | TrialRefused):
            raise
        return Hybrid(taken, None, reason=str(error).replace("\n", ";"))
    if new.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    stray = reproduce.strays(new, wanted)
    if stray:
        return Hybrid(taken, None, reason=f"it read another {stray[0]} than was recorded: {new.id[:7]}")
    if new.status is not Status.SUCCEEDED:
        error_of = new.outcome.error if new.outcome else None
        what = f"{error_of.kind}: {error_of.message}" if error_of else new.status.value
        return Hybrid(taken, None, reason=f"trial {new.id[:7]} {new.status.value}: {what}".partition("\n")[0])
    return Hybrid(taken, new)
