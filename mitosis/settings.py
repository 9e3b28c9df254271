"""The `mitosis.*` keys of the configuration: what steers the launcher and is never hashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

PATIENCE = 60.0  # seconds


class OnDirty(Enum):
    """What to do with a working tree that differs from its commit."""

    refuse = "refuse"
    snapshot = "snapshot"


class Checkout(Enum):
    """Where a trial's modules come from: the working tree, or a read-only copy of the commit."""

    auto = "auto"  # pinned in multirun and for snapshots, in place for a single trial
    inplace = "inplace"
    pinned = "pinned"


class Rerun(Enum):
    """Whether a trial runs for which a succeeded one with the same recipe stands already."""

    always = "always"
    missing = "missing"


class OnTaint(Enum):
    """What to do with a trial whose record is not proven."""

    mark = "mark"
    fail = "fail"


# made by a call, because `continue` is a word of Python's own
OnError = Enum("OnError", {"continue": "continue", "stop": "stop"})
"""Whether a sweep goes on after a trial that did not succeed, or begins no other."""


class Kernel(Enum):
    """How a trial's kernel is made: forked from a server that has imported all it needs, or started anew."""

    fork = "fork"  # where the system cannot fork safely (macOS), a fresh one is started
    fresh = "fresh"


class Verify(Enum):
    """Whether a second run in another fresh kernel has to give the very same result."""

    once = "once"
    twice = "twice"


class WorkingDirectory(Enum):
    """Where the experiment runs: at the repository's top, in the trial's folder, or where its code lies."""

    repository = "repository"
    trial = "trial"
    checkout = "checkout"  # the top of the checkout; inputs are looked for there as well


@dataclass
class Settings:
    """Defaults of the `mitosis` node; Hydra refuses a key that is not here, and a value of another type."""

    root: str = "trials"  # relative to the repository's top
    store: str | None = None  # URL; default: MITOSIS_STORE, else the SQLite file <root>/mitosis.db
    project: str | None = None  # default: origin's address, else the first commit
    on_dirty: OnDirty = OnDirty.refuse
    snapshot_max_file: int = 50_000_000  # bytes of a file that only a snapshot would hold
    checkout: Checkout = Checkout.auto
    share: list[str] = field(default_factory=list)  # ignored files and directories that a checkout links
    source_roots: list[str] = field(default_factory=list)  # after the repository's top and src/
    cwd: WorkingDirectory = WorkingDirectory.repository
    variables: list[str] = field(default_factory=list)  # of the environment, that travel to the workers
    patience: float = PATIENCE  # seconds that a trial waits for a store whose server is away
    kernel: Kernel = Kernel.fork
    preload: list[str] = field(default_factory=list)  # installed modules that a forked kernel has imported
    rerun: Rerun = Rerun.always
    resume: str | None = None  # the id of a sweep that goes on: its jobs keep their numbers
    timeout: float | None = None  # seconds from the call of `run`
    grace: float = 10.0  # seconds from the interrupt, at the time limit or by a signal, to the kill
    figure_formats: list[str] = field(default_factory=lambda: ["png"])
    figure_data: bool = False  # keep what matplotlib's figures plot, as CSV beside them
    untracked: list[str] = field(default_factory=list)  # parameters left out of the digest: params.device
    verify: Verify = Verify.once
    redefine: list[str] = field(default_factory=list)  # variants that may change: params/fast
    observe_inputs: bool = True  # note every file that the experiment opens
    on_error: OnError = OnError["continue"]  # in a sweep
    on_taint: OnTaint = OnTaint.mark
    seed_globals: bool = True  # seed random, numpy.random, torch, tensorflow
    note: str = ""
    tags: list[str] = field(default_factory=list)


def restored(recorded: Mapping[str, Any]) -> Settings:
    """The settings that a trial recorded; what it did not record has its default."""
    settings = Settings()
    for name, value in recorded.items():
        if hasattr(settings, name):
            default = getattr(settings, name)
            setattr(settings, name, type(default)(value) if isinstance(default, Enum) else value)
    return settings


def changed(settings: Settings) -> dict[str, Any]:
    """The settings that are not the defaults, as JSON values; read back by `restored`."""
    defaults = Settings()
    values = {f.name: getattr(settings, f.name) for f in fields(Settings)}
    return {
        name: value.value if isinstance(value, Enum) else value
        for name, value in values.items()
        if value != getattr(defaults, name)
    }
