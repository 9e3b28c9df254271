"""mitosis: run numerical experiments so that, months later, you know why a number changed."""

from __future__ import annotations

from typing import Any

__version__ = "1.0.0.dev0"

_HOMES: dict[str, str] = {
    "load": "mitosis.reading",
    "log": "mitosis.kernel.series",
    "lookup": "mitosis.kernel.lookup",
    "trials": "mitosis.reading",
}
"""Public name -> the module that defines it, imported when the name is first used."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """A public name, loaded on its first use: every kernel imports this module, and it must cost nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
