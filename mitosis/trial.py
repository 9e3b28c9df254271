"""Frozen values that pass between the rooms: what a trial is made of, and how it is written as JSON."""

from __future__ import annotations

import dataclasses
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

JSON: TypeAlias = Any
"""A value that `json` can hold: None, bool, int, float, str, list, dict with string keys."""


def utc_now() -> str:
    """The present time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def shifted(moment: str, seconds: float) -> str:
    """The time `moment` (ISO 8601), that many seconds later."""
    if not seconds:
        return moment
    later = datetime.fromisoformat(moment) + timedelta(seconds=seconds)
    return later.isoformat(timespec="milliseconds")


def new_id() -> str:
    """A new name for a trial or a sweep: 12 hex digits, drawn from the system's generator."""
    return secrets.token_hex(6)


class Status(str, Enum):
    """What became of a trial; everything but `RUNNING` is final."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    DIED = "died"
    INTERRUPTED = "interrupted"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Has the trial ended."""
        return self is not Status.RUNNING


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """One resolved value of `params`: its canonical text and the SHA-256 of it (64 hex digits)."""

    digest: str
    text: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A named choice of a parameter group and the content that its name is locked to."""

    group: str  # "params", "model"
    option: str  # "fast", "svm"
    digest: str  # of `text`
    text: str  # canonical text of what the option contributes
    version: int = 1

    @property
    def name(self) -> str:
        """As the user writes it in `mitosis.redefine`: `params/fast`."""
        return f"{self.group}/{self.option}"


@dataclass(frozen=True, slots=True)
class CodeState:
    """The code that runs: which commit of which project, checked when, from where."""

    commit: str  # full hash
    branch: str | None  # None: detached
    dirty: bool
    project: str  # origin's address without credentials, else the first commit
    repository: str  # absolute path of the working tree
    remote: str | None = None  # origin's address without credentials
    pushed: bool | None = None  # is the commit on a remote-tracking branch; None: no remote
    tree: str = ""  # where the modules are taken from: the repository, or a checkout of the commit


NOT_FILED = "not_filed"
RAN = "ran"  # why a trial was run where only what is missing was wanted
"""The kind of the note of an end that the store does not know: why, and where it is kept."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A taint or a note: `kind` is a stable word, `what` a sentence, `where` a path, key or line."""

    kind: str
    what: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file a trial read or wrote: path relative to the repository where inside it, else absolute."""

    path: str
    digest: str  # SHA-256 of the content
    size: int  # bytes
    kind: str  # "declared", "observed", "output"


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """A module of the user's that a trial loaded, and whether its bytes are those of the commit."""

    name: str
    path: str
    blob: str  # git blob id of the bytes that were loaded
    origin: str  # "commit", "changed", "untracked", "outside", "built", ...


@dataclass(frozen=True, slots=True)
class LookupRecord:
    """A value that `mitosis.lookup` took out of a table of Python objects."""

    table: str  # "package.module:attribute"
    name: str
    digest: str  # of the value, see kernel/lookup.py


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial did not succeed: the exception's type, its message, the user's traceback."""

    kind: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class HostProcess:
    """The launcher's process, so that another command can tell whether it is still alive."""

    host: str
    pid: int
    started: float  # seconds, the kernel's own clock (boot based)
    boot: str  # boot id
    machine: str = ""  # digest of the machine's own id: host names are given twice
    namespace: str = ""  # of process numbers: containers of one host have their own
    engine: Mapping[str, str] = field(default_factory=dict)  # slurm_job, slurm_node, ray_node, ray_job
    ahead: float = 0.0  # seconds by which the host's clock is ahead of the store's


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """Everything known of a trial before it runs."""

    id: str  # 12 hex digits
    experiment: str
    module: str
    function: str
    variant: str  # the label: "fast", "digits,model=svm", "fast+dt=0.5"
    variants: tuple[Variant, ...]
    params: str  # canonical text of the resolved values; `identity.parse` gives them back
    param_set: ParameterSet
    seed: int
    code: CodeState
    environment: str  # digest of the environment's content
    started_at: str  # ISO 8601, UTC
    folder: str  # absolute
    process: HostProcess
    overrides: tuple[str, ...] = ()
    inputs: tuple[FileRecord, ...] = ()
    sweep: str | None = None
    job: int | None = None  # index in the sweep
    note: str = ""
    tags: tuple[str, ...] = ()
    notes: tuple[Remark, ...] = ()
    settings: Mapping[str, JSON] = field(default_factory=dict)  # the mitosis.* keys that were set
    expect: Mapping[str, str] = field(default_factory=dict)  # by metric: "< 0.01"
    variables: Mapping[str, str] = field(default_factory=dict)  # that travelled from the driver
    study: str | None = None  # the name of the Optuna study that asked for it; `job` is its number there


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything known of a trial only after it ran."""

    status: Status
    finished_at: str
    seconds: float | None = None  # wall time of the call of the experiment
    cpu_seconds: float | None = None  # CPU time of kernel and its children during the call
    main: JSON = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: Failure | None = None
    figures: tuple[str, ...] = ()  # file names inside figures/
    files: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of what the folder keeps, by name
    inputs: tuple[FileRecord, ...] = ()  # observed
    outputs: tuple[FileRecord, ...] = ()
    modules: tuple[ModuleRecord, ...] = ()
    lookups: tuple[LookupRecord, ...] = ()
    threads: tuple[str, ...] = ()  # BLAS and OpenMP libraries in use, with their number of threads
    code_identity: str = ""  # digest of the (path, blob) of the repository's modules that were loaded
    taints: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = ()
    expectation: str = ""  # "confirmed" or "refuted"; "": nothing was expected, or it did not succeed


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial as the store knows it; `outcome` is None while it runs."""

    spec: TrialSpec
    outcome: Outcome | None = None

    @property
    def id(self) -> str:
        """12 hex digits."""
        return self.spec.id

    @property
    def status(self) -> Status:
        """Of the outcome; running where there is none yet."""
        return self.outcome.status if self.outcome else Status.RUNNING

    @property
    def refused(self) -> bool:
        """Was it a job of a sweep that was refused before its experiment began."""
        error = self.outcome.error if self.outcome else None
        return not self.spec.module or (error is not None and error.kind == "Refused")


@dataclass(frozen=True, slots=True)
class Attestation:
    """What was found out about a trial after it had ended: that it was reproduced, how much it varies."""

    kind: str  # "reproduce", "noise"
    verdict: str  # a stable word
    made_at: str  # ISO 8601, UTC
    host: str
    content: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of `ls`: what the narrow tables of the store hold of a trial."""

    id: str
    project: str
    experiment: str
    variant: str
    params: str  # canonical text of the resolved values
    param_set: str  # digest
    seed: int
    status: Status
    main: JSON
    metrics: Mapping[str, float]
    commit: str
    branch: str | None
    dirty: bool
    started_at: str
    seconds: float | None
    cpu_seconds: float | None
    sweep: str | None
    job: int | None
    folder: str
    note: str = ""
    tags: tuple[str, ...] = ()
    taints: int = 0
    code_identity: str = ""  # digest; "": not known
    expectation: str = ""  # "confirmed", "refuted"; "": nothing was expected
    removed: bool = False  # it lies in the trash


def strict(value: JSON) -> JSON:
    """`value` as strict JSON holds it: nan and the infinities become None, tuples lists, bytes hex."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [strict(v) for v in value]
    if isinstance(value, Enum):
        return strict(value.value)
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def plain(value: Any) -> JSON:
    """A frozen value as dictionaries and lists, the enum as its word; read back by `from_plain`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def from_plain(cls: type[T], document: JSON) -> T:
    """The frozen value that `plain` wrote; keys that this version does not know are left out.

    Raises KeyError, TypeError or ValueError where the document is not one of a `cls`.
    """
    value: T = _read(cls, document)
    return value


@cache
def _fields(cls: type) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(cls)
    missing = dataclasses.MISSING
    return tuple(
        (f.name, hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(cls)
    )


def _read(hint: Any, value: JSON) -> Any:
    if hint is Any:
        return value
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        if value is None:
            return None
        return _read(next(a for a in get_args(hint) if a is not NoneType), value)
    if origin is tuple:
        return tuple(_read(get_args(hint)[0], v) for v in value)
    if origin is not None and issubclass(origin, Mapping):
        return {k: _read(get_args(hint)[1], v) for k, v in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        given = {
            name: _read(sub, value[name])
            for name, sub, required in _fields(hint)
            if required or name in value
        }
        return hint(**given)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return value
