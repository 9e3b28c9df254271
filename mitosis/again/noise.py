"""How much a number varies when nothing that is recorded changes, and when the seed alone does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mitosis import differences, finding, floats
from mitosis.capture import shape
from mitosis.trial import JSON, Status, Summary, Trial, TrialSpec

if TYPE_CHECKING:
    from mitosis.store.store import Query, Store

KIND = "noise"  # of the attestation
_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
              2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086)  # fmt: skip
"""Student's, 97.5 %, for 1, 2, ... degrees of freedom: to import scipy takes longer than `diff` may."""
_LARGE = 1e150
_LINES = 2000  # of trials of one parameter set that are looked through, the newest
_MOST = 200  # trials of one recipe that are looked at, the newest


@dataclass(frozen=True, slots=True)
class Spread:
    """Values of one metric; `std` is the sample's (n - 1), None for fewer than two."""

    n: int
    mean: float
    std: float | None
    min: float
    max: float

    @property
    def half_width(self) -> float:
        """What the difference of two single values stays below in 95 of 100 cases, by chance alone.

        See `pooled`.
        """
        return pooled([self]) or 0.0

    def interval(self) -> tuple[float, float]:
        """Where 95 of 100 further values fall (the prediction interval), and all that were seen."""
        width = self._quantile() * (self.std or 0.0) * math.sqrt(1.0 + 1.0 / self.n)
        return min(self.min, self.mean - width), max(self.max, self.mean + width)

    def _quantile(self) -> float:
        return _quantile(self.n - 1)


def _quantile(freedom: int) -> float:
    """Student's, 97.5 %."""
    return _QUANTILES[freedom - 1] if freedom <= len(_QUANTILES) else 1.96 + 2.4 / freedom


def pooled(spreads: Sequence[Spread | None]) -> float | None:
    """What the difference of two single values stays below in 95 of 100 cases; None: nothing is known.

    Both values are drawn from normal distributions of one standard deviation, which is estimated from all
    spreads: Student's quantile for its degrees of freedom, times it, times the square root of 2.
    """
    known = [s for s in spreads if s is not None and s.n > 1]
    freedom = sum(s.n - 1 for s in known)
    if not freedom:
        return None
    largest = max(s.std or 0.0 for s in known)
    scale = largest if largest > _LARGE else 1.0
    variance = math.fsum((s.n - 1) * ((s.std or 0.0) / scale) ** 2 for s in known) / freedom
    return _quantile(freedom) * math.sqrt(2.0 * variance) * scale


@dataclass(frozen=True, slots=True)
class Noise:
    """What is known of the noise of a recipe; None where fewer than two values are known."""

    metric: str
    repeats: Spread | None  # the same seed
    seeds: Spread | None  # one value for each seed, the mean of its repeats
    trials: tuple[str, ...] = ()  # ids

    @property
    def floor(self) -> float:
        """The difference of two single trials that repeats alone can make, in 95 of 100 cases."""
        return self.repeats.half_width if self.repeats is not None else 0.0

    @property
    def chance(self) -> float:
        """The same for two trials with different seeds; never below `floor`."""
        return max(self.floor, self.seeds.half_width if self.seeds is not None else 0.0)


def noise_of(store: Store, trial: Trial, metric: str = "main") -> Noise:
    """The noise of the recipe of `trial`: of all its trials that are recorded, ordinary ones included.

    The same recipe is the same entry point, parameter set, code (by what was loaded) and inputs; of the
    environments in which it ran the one with the most trials counts, since another environment is no noise.
    """
    measured = of(together(alike(store, trial)), trial.spec.seed, metric)
    return _more(measured, _attested(store, trial, metric))


def alike(store: Store, trial: Trial) -> list[Trial]:
    """The succeeded trials of the recipe of `trial` with any seed, in any environment, newest first.

    Those of other commits count where their commit has the same files: code finds what it never names.
    """
    if trial.outcome is None or not trial.outcome.code_identity:
        return []
    wanted, commit, identity = _key(trial), trial.spec.code.commit, trial.outcome.code_identity
    place = finding.home(trial)
    lines = store.find(_query(trial, Status.SUCCEEDED))
    same = {c: c == commit or shape.same(place, c, commit) for c in {line.commit for line in lines}}
    like = [x for x in lines if (x.code_identity == identity and same[x.commit]) or is_repeat(x, trial)]
    found = [store.get(line.id) for line in like[:_MOST]]
    return [t for t in found if _key(t) == wanted or (is_repeat(t.spec, trial) and _same_bytes(t, trial))]


def failed(store: Store, trial: Trial, environment: str) -> str:
    """The id of a repeat of `trial` that failed in that environment; '' where none did."""
    for line in store.find(_query(trial, Status.FAILED)):
        own = line.seed == trial.spec.seed and is_repeat(line, trial)
        if own and store.get(line.id).spec.environment == environment:
            return line.id
    return ""


def _query(trial: Trial, status: Status) -> Query:
    from mitosis.store.store import Query

    return Query(
        project=trial.spec.code.project,
        experiment=trial.spec.experiment,
        param_set=trial.spec.param_set.digest,
        status=(status,),
        limit=_LINES,
    )


def repeat_note(trial: Trial) -> str:
    """The note of a trial that repeats another one to see how much it varies."""
    return f"repeats {trial.id}"


def is_repeat(other: Summary | TrialSpec, trial: Trial) -> bool:
    """Was it run as a repeat of `trial`, whatever it loaded and read then."""
    told = other.note in (repeat_note(trial), f"reproduces {trial.id}")
    told = told or other.note.startswith(f"noise of {trial.id},")
    return told and any(tag in other.tags for tag in ("why", "reproduce", KIND))


def _same_bytes(other: Trial, trial: Trial) -> bool:
    """Did both find the same bytes in the inputs that both read, and run the same code of all they loaded."""
    pairs = [(_read(other), _read(trial)), (differences.loaded(other), differences.loaded(trial))]
    return all(x[name] == y[name] for x, y in pairs for name in x.keys() & y.keys())


def _read(trial: Trial) -> dict[str, str]:
    """Digests of the inputs by path, without those that the trial wrote itself: theirs are of the end."""
    own = {o.path for o in (trial.outcome.outputs if trial.outcome else ())}
    return {path: r.digest for path, r in differences.read(trial).items() if path not in own}


def together(trials: Iterable[Trial]) -> list[Trial]:
    """Of the trials those that ran in one environment: the one in which most did."""
    by_environment: dict[str, list[Trial]] = {}
    for trial in trials:
        by_environment.setdefault(trial.spec.environment, []).append(trial)
    return max(by_environment.values(), key=len, default=[])


def of(trials: Iterable[Trial], seed: int, metric: str) -> Noise:
    """The noise that trials of one recipe and environment show; repeats are those with `seed`.

    Where that seed was not repeated, the seed with the most repeats counts.
    """
    values: dict[int, list[float]] = {}
    ids = []
    for trial in trials:
        number = differences.value(trial, metric)
        if differences.is_number(number) and math.isfinite(number):
            values.setdefault(trial.spec.seed, []).append(float(number))
            ids.append(trial.id)
    own = values.get(seed, [])
    repeated = own if len(own) > 1 else max(values.values(), key=len, default=[])
    return Noise(metric, spread(repeated), spread([floats.mean(v) for v in values.values()]), tuple(ids))


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of at least two values; None of fewer."""
    if len(values) < 2:
        return None
    if min(values) == max(values):
        return Spread(len(values), values[0], 0.0, values[0], values[0])
    mean, largest = floats.mean(values), max(map(abs, values))
    scale = largest if largest > _LARGE else 1.0  # the squares of larger numbers are beyond a float
    squares = math.fsum((v / scale - mean / scale) ** 2 for v in values)
    std = scale * math.sqrt(squares / (len(values) - 1))
    return Spread(len(values), mean, std, min(values), max(values))


def document(noise: Noise) -> dict[str, JSON]:
    """The noise as it is attested and as `--json` has it."""
    return {
        "metric": noise.metric,
        "repeats": _document(noise.repeats),
        "seeds": _document(noise.seeds),
        "floor": noise.floor if noise.repeats is not None else None,
        "trials": list(noise.trials),
    }


def _document(spread: Spread | None) -> JSON:
    if spread is None:
        return None
    fields = ("n", "mean", "std", "min", "max")
    return {name: getattr(spread, name) for name in fields}


def _attested(store: Store, trial: Trial, metric: str) -> Noise | None:
    """What was measured once, for when its trials are not there any more."""
    for found in reversed(store.attestations(trial.id)):
        if found.kind == KIND and found.content.get("metric") == metric:
            content: Mapping[str, Any] = found.content
            return Noise(metric, _spread(content.get("repeats")), _spread(content.get("seeds")))
    return None


def _spread(content: Any) -> Spread | None:
    return Spread(**content) if isinstance(content, dict) else None


def _more(measured: Noise, attested: Noise | None) -> Noise:
    """Of both, each spread that rests on more values."""
    if attested is None:
        return measured
    pairs = ((measured.repeats, attested.repeats), (measured.seeds, attested.seeds))
    repeats, seeds = (max(pair, key=lambda s: s.n if s else 0) for pair in pairs)
    return Noise(measured.metric, repeats, seeds, measured.trials)


def _key(trial: Trial) -> tuple[Any, ...]:
    inputs = tuple(sorted(_read(trial).items()))
    # not the code identity alone: that is of this repository, and a trial loads modules of others as well
    code = tuple(sorted(differences.loaded(trial).items()))
    return (trial.spec.module, trial.spec.function, trial.spec.param_set.digest, code, inputs)
