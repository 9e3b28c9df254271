"""What is missing skips its tests; where MITOSIS_CI names it, they fail.

MITOSIS_CI lists engines, plugins and tools: postgresql, slurm, ray, joblib, submitit, optuna, faketime.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import NoReturn, TypeVar

import pytest

from tests.engines.engine import Missing

T = TypeVar("T")

PLUGINS = {
    "joblib": ("hydra_joblib_launcher", "joblib"),
    "submitit": ("hydra_submitit_launcher", "slurm"),
    "ray": ("hydra_ray_launcher", "ray"),
    "optuna": ("hydra_optuna_sweeper", "optuna"),
}
"""The module of each plugin of Hydra, and the extra that installs it."""


def absent(name: str, what: str) -> NoReturn:
    """Skip the test, or fail it where `name` must be there."""
    if name in os.environ.get("MITOSIS_CI", "").split(","):
        pytest.fail(f"{name} must be here (MITOSIS_CI): {what}")
    pytest.skip(what)


def plugin(name: str) -> None:
    """Skip or fail where the plugin is not installed."""
    module, extra = PLUGINS[name]
    try:
        found = find_spec(f"hydra_plugins.{module}")
    except ModuleNotFoundError:
        found = None
    if found is None:
        absent(name, f"{module} is not installed: pip install 'mitosis[{extra}]'")


@contextmanager
def running(name: str, engine: AbstractContextManager[T]) -> Iterator[T]:
    """The engine, started."""
    try:
        started = engine.__enter__()
    except Missing as error:
        absent(name, str(error))
    try:
        yield started
    finally:
        engine.__exit__(None, None, None)
