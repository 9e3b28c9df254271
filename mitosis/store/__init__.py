"""The store: trials and what they are made of, in SQLite or PostgreSQL; importing this loads no database."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitosis.store.address import display_url, password_in
    from mitosis.store.digests import DigestCache
    from mitosis.store.store import Store
    from mitosis.store.values import Query, SweepRecord, VariantUse

__all__ = ["DigestCache", "Query", "Store", "SweepRecord", "VariantUse", "display_url", "password_in"]

_HOMES = {
    "DigestCache": "digests",
    "Query": "values",
    "Store": "store",
    "SweepRecord": "values",
    "VariantUse": "values",
    "display_url": "address",
    "password_in": "address",
}


def __getattr__(name: str) -> object:
    """A public name, loaded on its first use: SQLAlchemy is the dearest import of a reading command."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
