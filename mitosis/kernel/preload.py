"""Imports, in the fork server, what kernels need and what the user wants in all of them."""

from __future__ import annotations

import importlib
import os
import site
import sys
import sysconfig
import warnings
from collections.abc import Sequence
from typing import Any

_KERNEL = "ipykernel.kernelapp"
NEEDED = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "faulthandler",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    _KERNEL,
    "mitosis.kernel.guard",
    "pdb",
    "runpy",
    "tornado.platform.asyncio",
)
"""What a kernel of a trial has imported before any code of the user's; here, it is imported once for all."""


def load(preload: Sequence[str]) -> str:
    """Import what kernels need and what the user wants in all of them; returns why that cannot be."""
    wrong = _load(preload)
    from mitosis.kernel import loading

    loading.warm()
    return wrong


def _load(preload: Sequence[str]) -> str:
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name or name == _KERNEL:  # other versions of IPython are laid out differently
                raise
    # the first cell compiles the regular expressions of Python's tokenizer, which are kept
    importlib.import_module("IPython.core.inputtransformer2").TransformerManager().transform_cell("x = 1\n")
    if not preload:
        return ""
    # as ipykernel sets it before any cell can import matplotlib
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    before = set(sys.modules)
    for name in preload:
        try:
            importlib.import_module(name)
        except Exception as error:  # a module may raise anything
            return f"mitosis.preload: {name} cannot be imported ({type(error).__name__}: {error})"
        changing = [m for m in set(sys.modules) - before if not _installed(sys.modules[m])]
        if changing:
            return f"mitosis.preload: {name} is, or imports, code that is not installed: {min(changing)}"
        if _threads() > 1:
            return f"mitosis.preload: {name} starts threads, which a forked kernel would not have"
    return ""


def _installed(module: Any) -> bool:
    """Is the module Python's or of an installed package, and no code that may change from trial to trial."""
    homes = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    homes += [*site.getsitepackages(), site.getusersitepackages()]
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    if not isinstance(origin, str) or not origin.startswith(os.sep):
        return True  # built in, frozen, or a namespace
    real = os.path.realpath(origin)
    return any(real.startswith(os.path.realpath(home) + os.sep) for home in homes)


def _threads() -> int:
    """How many threads there are when a fork has been: libraries that can be forked (OpenBLAS) end theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what it warns of is looked for here
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - pathlib is not otherwise needed here
