"""Trials between two trials: some causes as in a, the others as in b; found in the record, or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis import differences
from mitosis.again import recorded, reproduce
from mitosis.again.recorded import Bench, Impossible, Recorded
from mitosis.capture import checkout, environment, inputs, judge, shape, synthesis
from mitosis.differences import Differences
from mitosis.display import Display
from mitosis.errors import MitosisError, TrialRefused
from mitosis.trial import FileRecord, Status, Trial

if TYPE_CHECKING:
    from mitosis.store.store import Store

PARTS = ("params", "code", "inputs", "seed")
"""The causes that can be exchanged; the environment is what it is here."""

OTHERS = "code:other files"
"""The group of the files that one commit alone has and that lie beside no code that was loaded."""

_LOOKED_AT = 50  # recorded trials that may stand for a hybrid
_UNABLE = (Status.FAILED, Status.TIMED_OUT)  # what becomes of a recipe that cannot run, each time


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
    data = {*differences.read(pair.a), *differences.read(pair.b), *pair.found.unseen_data} - set(loaded)
    every = [path for path in synthesis.changed(repository, *commits) if path not in data]
    groups = _grouped(loaded, every, by)
    grouped = {path for paths in groups.values() for path in paths}
    others = tuple(path for path in pair.found.unseen_code if path not in grouped)
    if others and groups:
        groups[OTHERS] = others
    rest = len(pair.causes) - 1
    if len(groups) < 2 or (by == "auto" and rest + len(groups) > 4):
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
    data = side("inputs").spec.code.commit
    if data != code.spec.code.commit:  # and with the bytes of the data the files that are there at all
        moved |= dict.fromkeys(pair.found.unseen_data, data)
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
        written=tuple({p: None for t in (pair.a, pair.b) for p in recorded.recorded(t).written}),
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
    own = differences.read(side)
    records = {**differences.read(other), **own}
    absent = set(pair.found.unseen_data) - own.keys()  # the other's commit alone has them
    return tuple(r for path, r in records.items() if path not in code and path not in absent)


def found(store: Store, bench: Bench, wanted: Recorded) -> Trial | None:
    """A recorded trial of that recipe that ran in today's environment and is proven; None: there is none.

    One of the very commit comes before those of others, which count where their commit has the same files;
    one that could not run at the very commit stands for the recipe where none succeeded: it would not run
    again. Raises Impossible where the recipe's commit is gone.
    """
    from mitosis.store.store import Query

    question = Query(
        project=wanted.project,
        experiment=wanted.experiment,
        param_set=wanted.param_set.digest,
        seed=wanted.seed,
        status=(Status.SUCCEEDED, *_UNABLE),
    )
    lines = [line for line in store.find(question) if not line.taints]
    if not lines:
        return None
    commit, today = recorded.commit_of(bench, wanted), environment.digest(environment.collect())
    own = [line for line in lines if line.commit == commit]
    succeeded = [line for line in own if line.status is Status.SUCCEEDED]
    others = [line for line in lines if line.commit != commit and line.status is Status.SUCCEEDED]
    like = [line for line in others[:_LOOKED_AT] if shape.same(bench.repository, line.commit, commit)]
    unable = [line for line in own if line.status is not Status.SUCCEEDED]
    for line in (*succeeded, *like, *unable):
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
    if trial.status is not Status.SUCCEEDED and not _its_own_fault(trial, wanted):
        return False
    if not own and trial.status is not Status.SUCCEEDED:
        return True  # it ended before it had loaded anything; the commit is the very one
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


def _its_own_fault(trial: Trial, wanted: Recorded) -> bool:
    """Did the user's own code fail, or need longer than the recipe allows as well."""
    if trial.status is Status.TIMED_OUT:
        return trial.spec.settings.get("timeout") == wanted.settings.get("timeout")
    error = trial.outcome.error if trial.outcome else None
    return error is not None and (bool(error.traceback) or error.kind == "ContractError")


def made(
    store: Store, bench: Bench, pair: Pair, taken: frozenset[str], display: Display, reuse: bool = True
) -> Hybrid:
    """The hybrid: found in the record, or run now. One that cannot run says why."""
    try:
        wanted = recipe(pair, taken)
        there = found(store, bench, wanted) if reuse else None
        if there is not None:
            return _judged(taken, there, reused=True)
        why = f"{pair.a.id} with {' and '.join(sorted(taken)) or 'nothing'} of {pair.b.id}"
        new = recorded.run(bench, wanted, display, why, "why")
    except MitosisError as error:
        if not isinstance(error, Impossible | TrialRefused):
            raise
        return Hybrid(taken, None, reason=str(error).replace("\n", ";"))
    if new.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    stray = reproduce.strays(new, wanted)
    if stray:
        return Hybrid(taken, None, reason=f"it read another {stray[0]} than was recorded: {new.id}")
    return _judged(taken, new, reused=False)


def _judged(taken: frozenset[str], trial: Trial, reused: bool) -> Hybrid:
    """The hybrid that a trial stands for, or the reason that it gives why there is none."""
    if trial.status is Status.SUCCEEDED:
        return Hybrid(taken, trial, reused)
    error = trial.outcome.error if trial.outcome else None
    what = f"{error.kind}: {error.message}" if error else trial.status.value
    reason = f"trial {trial.id} {trial.status.value}: {what}".partition("\n")[0]
    return Hybrid(taken, None, reused, reason)
