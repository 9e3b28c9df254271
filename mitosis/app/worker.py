"""Makes sure that a worker, perhaps on another host, sees what the driver saw."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import mitosis
from mitosis import gate
from mitosis.errors import WorkerRefused
from mitosis.gate import Verdict


class OtherStore(WorkerRefused):
    """The worker sees another store: there is nowhere to record it."""


def take_over_variables(verdict: Verdict) -> None:
    """Set the variables of the driver that decide numbers, before anything here reads them."""
    os.environ.update(verdict.variables)


def check(verdict: Verdict) -> None:
    """Raise WorkerRefused where this process sees another mitosis, store, root or commit than the driver."""
    here = platform.node()
    if verdict.sweep is not None and not gate.knows(verdict.store, verdict.sweep):
        raise OtherStore(
            f"the store {verdict.store} on {here} does not hold the sweep {verdict.sweep}: it is another one",
            "share a PostgreSQL between the hosts: mitosis.store=postgresql+psycopg://USER@HOST/DATABASE",
        )
    if not Path(verdict.root).is_dir():
        raise OtherStore(
            f"the root {verdict.root} is not there on {here}",
            "put it on a file system that all hosts share: mitosis.root=DIRECTORY",
        )
    if mitosis.__version__ != verdict.version:
        raise WorkerRefused(
            f"{here} runs mitosis {mitosis.__version__}, the driver runs {verdict.version}",
            "install the same on both, best one environment on a shared file system",
        )
    gate.check_code(verdict, here)
