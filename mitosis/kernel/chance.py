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


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finder that lets the others find, and does its deeds once the module has been executed."""

    def __init__(self) -> None:
        self.deeds: dict[str, list[Callable[[Any], None]]] = {}  # module: what is done with it, in order
        self._searching: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.deeds or fullname in self._searching:
            return None
        self._searching.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._searching.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.deeds[fullname])
        return spec


class _Loader(importlib.abc.Loader):
    """Loader that does what the real one does, then its deeds, and is out of the way before either."""

    def __init__(self, real: importlib.abc.Loader, deeds: list[Callable[[Any], None]]) -> None:
        self._real = real
        self._deeds = deeds

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        self._real.exec_module(module)
        for deed in self._deeds:
            deed(module)


def after_import(name: str, deed: Callable[[Any], None]) -> None:
    """Do `deed` with the module `name` right after its import; at once where it is loaded already."""
    finder = next((f for f in sys.meta_path if isinstance(f, _AfterImport)), None)
    if finder is None:
        finder = _AfterImport()
        sys.meta_path.insert(0, finder)
    finder.deeds.setdefault(name, []).append(deed)
    if name in sys.modules:
        deed(sys.modules[name])


_seed: list[int] = []  # the last one; a module that is imported later is seeded with it


def seed(value: int) -> None:
    """Seed `random` and every loaded generator of `_SEEDERS` now, the others right after their import."""
    random.seed(value)
    first = not _seed
    _seed[:] = [value]
    for name, seeder in _SEEDERS.items():
        if first:
            after_import(name, lambda module, seeder=seeder: seeder(module, _seed[0]))  # type: ignore[misc]
        elif name in sys.modules:
            seeder(sys.modules[name], value)
