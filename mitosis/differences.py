"""What differs between two trials, or two sets of trials, grouped by cause: values; it prints nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mitosis import floats, identity
from mitosis.trial import JSON, FileRecord, Trial

CAUSES = ("params", "code", "inputs", "seed", "environment")
"""What can make a number change, in the order in which people look for it."""

RESULT = "result.pkl"
_STEERING = ("seed_globals", "source_roots")  # settings that a result can depend on

H = TypeVar("H", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Change:
    """One named thing that differs: the distinct values of each side; none where it has no such thing.

    `name` is a dotted key, a path, a package, ... Two single trials have at most one value on each side.
    """

    name: str
    a: tuple[Any, ...]
    b: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that differs: the mean of each side, and how far b is from a."""

    name: str
    a: JSON  # None: it has none; what is no number stands as it is where all trials of a side agree on it
    b: JSON
    absolute: float | None  # b - a
    relative: float | None  # (b - a) / |a|; None where a is zero


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs between side a and side b; every tuple is empty where nothing does."""

    params: tuple[Change, ...] = ()  # dotted key: values
    variants: tuple[Change, ...] = ()  # "params/fast": versions
    entry_point: tuple[Change, ...] = ()  # module:function, and settings that steer the run
    files: tuple[Change, ...] = ()  # of the user's own code: blob ids of what was loaded
    lookups: tuple[Change, ...] = ()  # "table:name": digests of values in tables of Python objects
    commits: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # full hashes, whether they differ or not
    unseen_code: tuple[str, ...] = ()  # files that one side's commit alone has, see again/unseen.py
    unseen_data: tuple[str, ...] = ()  # the same, where the trials read their inputs
    code_known: bool = True  # False: what was loaded is not known on a side, the commits alone can tell
    inputs: tuple[Change, ...] = ()  # path: digests; declared and observed
    seed: tuple[Change, ...] = ()
    environment: tuple[Change, ...] = ()  # "python", "cpu", "package numpy", "variable OMP_NUM_THREADS", ...
    metrics: tuple[Metric, ...] = ()  # `main` first
    statuses: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    results: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # digests of result.pkl, whether they differ

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes that differ, of `CAUSES` and in that order."""
        differs = {
            "params": bool(self.params),
            "code": bool(
                self.entry_point or self.files or self.lookups or self._other_commits() or self.unseen_code
            ),
            "inputs": bool(self.inputs or self.unseen_data),
            "seed": bool(self.seed),
            "environment": bool(self.environment),
        }
        return tuple(cause for cause in CAUSES if differs[cause])

    @property
    def outcome_differs(self) -> bool:
        """Is anything that came out another: a metric, a status, the bytes of the result."""
        return (
            bool(self.metrics) or self.statuses[0] != self.statuses[1] or self.results[0] != self.results[1]
        )

    @property
    def not_reproducible(self) -> bool:
        """Nothing that decides a result differs, and yet what came out does."""
        return not self.causes and self.outcome_differs

    def _other_commits(self) -> bool:
        return not self.code_known and self.commits[0] != self.commits[1]


def between(
    a: Trial | Sequence[Trial],
    b: Trial | Sequence[Trial],
    environments: Mapping[str, Mapping[str, JSON] | None],
) -> Differences:
    """What differs between `a` and `b`, trials or sets of them.

    `environments` holds what the store has under the digests of the trials' environments; where the
    content of one is not known, the digests themselves are compared.
    """
    old = [a] if isinstance(a, Trial) else list(a)
    new = [b] if isinstance(b, Trial) else list(b)
    return Differences(
        params=_params(old, new),
        variants=_variants(old, new),
        entry_point=_changes(_entry(old), _entry(new)),
        files=_changes(_files(old), _files(new)) if _known(old) and _known(new) else (),
        lookups=_lookups(old, new),
        commits=(_distinct(t.spec.code.commit for t in old), _distinct(t.spec.code.commit for t in new)),
        code_known=_known(old) and _known(new),
        inputs=_changes(_inputs(old), _inputs(new)),
        seed=_changes({"seed": _seeds(old)}, {"seed": _seeds(new)}),
        environment=_environment(old, new, environments),
        metrics=metrics(old, new),
        statuses=(_distinct(t.status.value for t in old), _distinct(t.status.value for t in new)),
        results=(_results(old), _results(new)),
    )


def metrics(old: Sequence[Trial], new: Sequence[Trial]) -> tuple[Metric, ...]:
    """`main` and the metrics whose means differ between two sets of trials, `main` first."""
    names = sorted({name for t in (*old, *new) if t.outcome for name in t.outcome.metrics} - {"main"})
    found = []
    for name in ("main", *names):
        a, b = _mean(old, name), _mean(new, name)
        if same_number(a, b):
            continue
        absolute = b - a if is_number(a) and is_number(b) else None
        relative = absolute / abs(a) if absolute is not None and a else None
        found.append(Metric(name, a, b, absolute, relative))
    return tuple(found)


def is_number(value: JSON) -> bool:
    """Is it a number that can be subtracted: no boolean, no text, no integer that is beyond the floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) <= sys.float_info.max


def same_number(a: JSON, b: JSON) -> bool:
    """Are two metrics equal; nan is equal to itself here."""
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return bool(a == b)


def value(trial: Trial, name: str) -> JSON:
    """The metric `name` of a trial, `main` included; None where it has none."""
    if trial.outcome is None:
        return None
    return trial.outcome.main if name == "main" else trial.outcome.metrics.get(name)


def read(trial: Trial) -> dict[str, FileRecord]:
    """The inputs of a trial by their path, declared and observed; what was declared wins."""
    observed = trial.outcome.inputs if trial.outcome else ()
    return {r.path: r for r in (*observed, *trial.spec.inputs)}


def loaded(trial: Trial) -> dict[str, str]:
    """The blob ids of the user's own modules that a trial loaded, by path; those of distributions left out.

    Paths are relative to the repository, or absolute for code of other repositories.
    """
    modules = trial.outcome.modules if trial.outcome else ()
    return {m.path: m.blob for m in modules if not _installed(m.path, m.origin)}


def _installed(path: str, origin: str) -> bool:
    """A module of a distribution: its version is a part of the environment."""
    return path.startswith("/") and " " in origin and "@" not in origin  # "numpy 2.1", see capture/origins


def _mean(trials: Sequence[Trial], name: str) -> JSON:
    values = [v for t in trials if (v := value(t, name)) is not None]
    if len(values) == 1 or (values and not all(map(is_number, values))):
        return values[0] if all(same_number(v, values[0]) for v in values) else None
    return floats.mean(values) if values else None


def _distinct(values: Iterable[H]) -> tuple[H, ...]:
    return tuple(dict.fromkeys(values))


def _changes(a: Mapping[str, tuple[Any, ...]], b: Mapping[str, tuple[Any, ...]]) -> tuple[Change, ...]:
    """The names under which the two sides have not the same set of values."""
    names = sorted({*a, *b})
    pairs = [Change(name, a.get(name, ()), b.get(name, ())) for name in names]
    return tuple(p for p in pairs if set(p.a) != set(p.b))


def _changes_of_both(
    a: Mapping[str, tuple[Any, ...]], b: Mapping[str, tuple[Any, ...]]
) -> tuple[Change, ...]:
    both = a.keys() & b.keys()
    return _changes({n: a[n] for n in both}, {n: b[n] for n in both})


def _gathered(
    trials: Iterable[Trial], of: Callable[[Trial], Iterable[tuple[str, Any]]]
) -> dict[str, tuple[Any, ...]]:
    """By name, the distinct values that the trials have."""
    found: dict[str, dict[Any, None]] = {}
    for trial in trials:
        for name, item in of(trial):
            found.setdefault(name, {})[item] = None
    return {name: tuple(values) for name, values in found.items()}


def _params(old: Sequence[Trial], new: Sequence[Trial]) -> tuple[Change, ...]:
    """Keys of the parameter sets, so that a leaf that follows the seed is the same for all seeds."""
    before = _distinct(t.spec.param_set.text for t in old)
    after = _distinct(t.spec.param_set.text for t in new)
    if not before or not after:
        return ()
    first = before[0]
    against = {
        text: {k: (x, y) for k, x, y in identity.differences(first, text)} for text in (*before, *after)
    }
    keys = {k: x for found in against.values() for k, (x, _) in found.items()}
    changes = []
    for key, there in sorted(keys.items()):
        sides = [
            _typed(against[text].get(key, (there, there))[1] for text in side) for side in (before, after)
        ]
        if set(sides[0]) != set(sides[1]):
            changes.append(Change(key, *(tuple(side.values()) for side in sides)))
    return tuple(changes)


def _typed(values: Iterable[Any]) -> dict[str, Any]:
    """Distinct values by their canonical text: 1, 1.0 and True are three; what is absent is left out."""
    return {identity.canonical(v): v for v in values if v is not identity.MISSING}


def _variants(old: Sequence[Trial], new: Sequence[Trial]) -> tuple[Change, ...]:
    def chosen(trial: Trial) -> Iterable[tuple[str, str]]:
        return ((v.group, f"{v.option} version {v.version}") for v in trial.spec.variants)

    return _changes(_gathered(old, chosen), _gathered(new, chosen))


def _entry(trials: Sequence[Trial]) -> dict[str, tuple[Any, ...]]:
    def entry(trial: Trial) -> Iterable[tuple[str, str]]:
        yield "entry point", f"{trial.spec.module}:{trial.spec.function}"
        for name in _STEERING:
            if name in trial.spec.settings:
                yield f"mitosis.{name}", str(trial.spec.settings[name])

    return _gathered(trials, entry)


def _known(trials: Sequence[Trial]) -> bool:
    return all(t.outcome is not None and t.outcome.modules for t in trials)


def _files(trials: Sequence[Trial]) -> dict[str, tuple[str, ...]]:
    return _gathered(trials, lambda t: loaded(t).items())


def _lookups(old: Sequence[Trial], new: Sequence[Trial]) -> tuple[Change, ...]:
    """Entries that both sides looked up under the same name; another name is another parameter."""

    def found(trial: Trial) -> Iterable[tuple[str, str]]:
        return ((f"{x.table}[{x.name}]", x.digest) for x in (trial.outcome.lookups if trial.outcome else ()))

    return _changes_of_both(_gathered(old, found), _gathered(new, found))


def _inputs(trials: Sequence[Trial]) -> dict[str, tuple[str, ...]]:
    return _gathered(trials, lambda t: ((path, r.digest) for path, r in read(t).items()))


def _seeds(trials: Sequence[Trial]) -> tuple[int, ...]:
    return tuple(sorted({t.spec.seed for t in trials}))


def _results(trials: Sequence[Trial]) -> tuple[str, ...]:
    found = (t.outcome.files.get(RESULT) for t in trials if t.outcome is not None)
    return tuple(sorted({digest for digest in found if digest}))


def _environment(
    old: Sequence[Trial], new: Sequence[Trial], environments: Mapping[str, Mapping[str, JSON] | None]
) -> tuple[Change, ...]:
    before, after = ({t.spec.environment for t in side} for side in (old, new))
    known = all(environments.get(digest) is not None for digest in before | after)
    changes: tuple[Change, ...] = ()
    if before != after and known:

        def named(trial: Trial) -> Iterable[tuple[str, str]]:
            return facts(environments[trial.spec.environment] or {}).items()

        changes = _changes(_gathered(old, named), _gathered(new, named))
    elif before != after:
        changes = (Change("environment", tuple(sorted(before)), tuple(sorted(after))),)
    return (*changes, *_threads(old, new))


def _threads(old: Sequence[Trial], new: Sequence[Trial]) -> tuple[Change, ...]:
    """Threads of the libraries that both sides loaded: what one side alone loads is its code's doing."""

    def pools(trial: Trial) -> Iterable[tuple[str, str]]:
        for line in trial.outcome.threads if trial.outcome else ():
            library, _, number = line.partition(": ")
            yield f"threads of {library}", number

    return _changes_of_both(_gathered(old, pools), _gathered(new, pools))


def facts(environment: Mapping[str, JSON]) -> dict[str, str]:
    """An environment as one level of named texts: `package numpy`, `variable OMP_NUM_THREADS`, `python`."""
    found: dict[str, str] = {}
    for key, content in environment.items():
        if key == "distributions":
            for name, (version, origin) in content.items():
                found[f"package {name}"] = f"{version} ({origin})" if origin else str(version)
        elif key == "variables":
            found |= {f"variable {name}": str(text) for name, text in content.items()}
        else:
            found[key] = ", ".join(map(str, content)) if isinstance(content, list) else str(content)
    return found
