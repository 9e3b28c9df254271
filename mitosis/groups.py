"""Which trials may be mixed in one statistic, and what a trial has under a name."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mitosis import identity
from mitosis.errors import Refused
from mitosis.trial import JSON, Status, Summary

EVERYTHING = "everything"  # all but the seed
HELPERS = frozenset({"why", "bisect", "noise", "reproduce"})
"""Tags of trials that mitosis ran to find something out, with the code and data of others."""

_FIELDS = ("variant", "experiment", "param_set", "seed", "commit", "branch", "sweep", "code_identity",
           "note", "status", "dirty", "expectation", "main", "seconds", "cpu_seconds", "job")  # fmt: skip
_CODE = frozenset({"code", "commit", "code_identity", "branch", "dirty", EVERYTHING})
"""What tells codes apart: grouped by one of these, a group is never of several."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Trials that may be mixed in one statistic, and all others by the reason that keeps them out."""

    counted: tuple[Summary, ...]
    left_out: Mapping[str, tuple[Summary, ...]]


# --- which trials may be mixed ------------------------------------------------------------------


def select(
    trials: Iterable[Summary],
    files: Callable[[Summary], Mapping[str, str]],
    inputs: Inputs | None = None,
    *,
    mix_code: bool = False,
    mix_data: bool = False,
    tainted: bool = False,
) -> Selection:
    """The succeeded trials of the newest code and the newest data, by default without tainted ones.

    `trials` come newest first. `files` gives the path and blob of each of the repository's own files that a
    trial loaded; it is asked once for each code identity. Reasons to be left out are a status, `removed`,
    `tainted`, `other_code`, `other_data` and `repeated`: the same parameters and seed were run again, and
    count once. Trials that a search of ours made (`HELPERS`) do not say which code and data are the newest.
    """
    counted: list[tuple[int, Summary]] = []
    left_out: dict[str, list[Summary]] = defaultdict(list)
    same, alike = _Codes(files), _Data(inputs or Inputs({}, lambda _: {}))
    seen: set[tuple[str, str, int, str]] = set()
    for at, trial in sorted(enumerate(trials), key=lambda item: not HELPERS.isdisjoint(item[1].tags)):
        reason = ""
        if trial.removed:
            reason = "removed"
        elif trial.status is not Status.SUCCEEDED:
            reason = trial.status.value
        elif trial.taints and not tainted:
            reason = "tainted"
        elif not (mix_code or same.holds(trial)):
            reason = "other_code"
        elif not (mix_data or alike.holds(trial)):
            reason = "other_data"
        else:
            code = (trial.code_identity or trial.commit) if mix_code else ""
            data = repr(alike.key(trial)) if mix_data else ""
            run = (trial.variant, trial.param_set, trial.seed, code + data)
            reason = "repeated" if run in seen else ""
            seen.add(run)
        if reason:
            left_out[reason].append(trial)
        else:
            counted.append((at, trial))
    newest_first = tuple(trial for _, trial in sorted(counted, key=lambda item: item[0]))
    return Selection(newest_first, {reason: tuple(found) for reason, found in left_out.items()})


@dataclass(frozen=True, slots=True)
class Inputs:
    """What trials read: a key that tells the lists of files apart, and the digests by path of one trial."""

    keys: Mapping[str, Hashable]  # by id; a trial that read nothing has none
    digests: Callable[[Summary], Mapping[str, str]]


class _Data:
    """What the first trials read, and every other that agrees with them in the files that both read.

    Trials of other variants may read other files.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._state: dict[str, str] = {}
        self._known: dict[Hashable, bool] = {}

    def key(self, trial: Summary) -> Hashable:
        return self._inputs.keys.get(trial.id)

    def holds(self, trial: Summary) -> bool:
        """Did the trial read no other content under a name than those before."""
        key = self.key(trial)
        if key is None:
            return True
        if key not in self._known:
            read = self._inputs.digests(trial)
            self._known[key] = all(self._state.get(path, digest) == digest for path, digest in read.items())
            if self._known[key]:
                self._state |= read
        return self._known[key]


class _Codes:
    """The code of the first trial asked for, and of every other that agrees with it in what both loaded.

    Variants may load different modules: they are of one code where no file that both loaded differs,
    and at least one is common.
    """

    def __init__(self, files: Callable[[Summary], Mapping[str, str]]) -> None:
        self._files = files
        self._state: dict[str, str] = {}
        self._commits: set[str] = set()
        self._known: dict[tuple[str, str], bool] = {}

    def holds(self, trial: Summary) -> bool:
        """Is the trial of this code."""
        code = (trial.code_identity, "" if trial.code_identity else trial.commit)
        if code not in self._known:
            loaded = self._files(trial) if trial.code_identity else {}
            common = loaded.keys() & self._state.keys()
            agrees = bool(common) and all(loaded[path] == self._state[path] for path in common)
            self._known[code] = agrees or not self._commits or trial.commit in self._commits
            if self._known[code]:
                self._state |= loaded
                self._commits.add(trial.commit)
        return self._known[code]


def tells_codes_apart(by: Sequence[str]) -> bool:
    """Whether groups by these names are never of several codes."""
    return bool(_CODE & set(by))


# --- what a trial has under a name ----------------------------------------------------------------


def number(trial: Summary, metric: str) -> float | None:
    """The finite number that the trial measured under that name; None where it has none."""
    value = value_of(trial, metric)
    if value is identity.MISSING and metric in trial.metrics:
        value = trial.metrics[metric]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer that no float holds
        return None


def value_of(trial: Summary, name: str) -> JSON:
    """What the trial has under `name`; identity.MISSING where it has nothing.

    `params.dt` and `metrics.loss` are a parameter and a metric, `variant`, `commit` and the like fields
    of the record; any other name is a group (`model`: what the variant's label says) or a parameter.
    """
    if name == "code":
        return trial.code_identity or trial.commit
    if name in _FIELDS:
        value = getattr(trial, name)
        return value.value if isinstance(value, Status) else value
    if name.startswith("metrics."):
        return trial.metrics.get(name.removeprefix("metrics."), identity.MISSING)
    if not name.startswith("params."):
        chosen = choices(trial.variant)
        if name in chosen:
            return chosen[name]
    value = _parameters(trial.params)
    for part in name.removeprefix("params.").split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return identity.MISSING
    return value


@lru_cache(maxsize=4096)
def choices(label: str) -> Mapping[str, str]:
    """The groups' choices in the label of a variant: `digits,model=svm+dt=1` has params and model."""
    found: dict[str, str] = {}
    at = 0
    part = re.compile(r'(?:([^,=+"]+)=)?("(?:[^"\\]|\\.)*"|[^,+"=]*)')
    while match := part.match(label, at):
        option = match[2]
        found[match[1] or "params"] = str(json.loads(option)) if option.startswith('"') else option
        at = match.end() + 1
        if label[match.end() : at] != ",":
            break
    return found


@lru_cache(maxsize=4096)
def _parameters(text: str) -> JSON:
    return identity.parse(text)


def _known_names(trial: Summary) -> list[str]:
    params = _parameters(trial.params)
    names = [f"params.{key}" for key in params] if isinstance(params, dict) else []
    return [*choices(trial.variant), *names, *(f"metrics.{name}" for name in trial.metrics), "variant"]


def written(value: JSON) -> str:
    """The value and its type as a text: `1`, `1.0` and `"1"` are three."""
    if isinstance(value, str):
        return _written(value)
    return (
        "(absent)" if value is identity.MISSING else f"{type(value).__name__} {identity.shown(value, 10**6)}"
    )


@lru_cache(maxsize=4096)
def _written(text: str) -> str:
    return f"str {identity.shown(text, 10**6)}"


def order(value: JSON) -> tuple[int, float, str]:
    """Sorts numbers by their size, then texts, then other values, then what is absent."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > sys.float_info.max:
        return (0, math.copysign(math.inf, value), "")
    if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
        return (0, float(value), "")
    if isinstance(value, str):
        return (1, 0.0, value)
    return (3 if value is identity.MISSING else 2, 0.0, written(value))


def check_names(trials: Sequence[Summary], names: Sequence[str]) -> None:
    """Raises Refused where none of the `trials` has what one of the `names` names."""
    for name in (n for n in names if n != EVERYTHING):
        if trials and all(value_of(trial, name) is identity.MISSING for trial in trials):
            known = sorted({key for trial in trials[:50] for key in _known_names(trial)})
            raise Refused(f"no trial has {name!r}", f"they have {', '.join(known)}")
