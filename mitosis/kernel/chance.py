"""Seeding of the global random generators, without importing what the experiment does not."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import random
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


def _numpy(module: Any, value: int) -> None:
    module.seed(value % 2**32)  # numpy.random takes 32 bits


def _torch(module: Any, value: int) -> None:
    module.manual_seed(value % 2**63)  # also seeds every CUDA device, lazily


def _tensorflow(module: Any, value: int) -> None:
    module.random.set_seed(value % 2**63)


# jax has no global generator: its keys are made by the experiment from the seed it is given.
_SEEDERS: dict[str, Callable[[Any, int], None]] = {
    "numpy.random": _numpy,
    "torch": _torch,
    "tensorflow": _tensorflow,
}


class _SeedAfterImport(importlib.abc.MetaPathFinder):
    """Finder that lets the others find, and seeds a generator's module once it has been executed."""

    def __init__(self) -> None:
        self.value = 0
        self._searching: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _SEEDERS or fullname in self._searching:
            return None
        self._searching.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._searching.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _SeedingLoader(spec.loader, self)
        return spec


class _SeedingLoader(importlib.abc.Loader):
    """Loader that does what the real one does, then seeds, and then steps out of the way."""

    def __init__(self, real: importlib.abc.Loader, finder: _SeedAfterImport) -> None:
        self._real = real
        self._finder = finder

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        self._real.exec_module(module)
        _SEEDERS[module.__name__](module, self._finder.value)


def seed(value: int) -> None:
    """Seed `random` and every loaded generator of `_SEEDERS` now, the others right after their import."""
    random.seed(value)
    for name, seeder in _SEEDERS.items():
        module = sys.modules.get(name)
        if module is not None:
            seeder(module, value)
    finder = next((f for f in sys.meta_path if isinstance(f, _SeedAfterImport)), None)
    if finder is None:
        finder = _SeedAfterImport()
        sys.meta_path.insert(0, finder)
    finder.value = value
