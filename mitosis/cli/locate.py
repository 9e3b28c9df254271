"""Finds the store for the reading commands, without Hydra."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitosis.errors import RepositoryRefused, TrialNotFound

if TYPE_CHECKING:
    from mitosis.store.store import Store

store_option = click.option(
    "--store", "url", metavar="URL", help="The store; default: that of the last run here."
)


def repository() -> Path | None:
    """The top of the working tree around the working directory; None outside of one."""
    try:
        return _around(Path.cwd())
    except RepositoryRefused:
        return None


@functools.lru_cache(maxsize=1)
def _around(here: Path) -> Path:
    """As code.find_repository, which starts git: a command asks more than once."""
    from mitosis.capture import code

    return code.find_repository(here)


def project() -> str | None:
    """The project of the repository around the working directory; None outside of one."""
    from mitosis import settle
    from mitosis.capture import code

    top = repository()
    if top is None:
        return None
    left = settle.pointer(top)
    return str(left["project"]) if left and left.get("project") else code.project(top)


def url_of(given: str | None) -> str | None:
    """The store's URL: `given`, else MITOSIS_STORE, else where the last run left it, else trials/."""
    chosen = given or os.environ.get("MITOSIS_STORE")
    if chosen:
        return chosen if "://" in chosen else f"sqlite:///{Path(chosen).absolute()}"
    top = repository()
    if top is None:
        return None
    from mitosis import settle

    left = settle.pointer(top)
    return str(left["store"]) if left else f"sqlite:///{top / 'trials' / 'mitosis.db'}"


def root_of(url: str) -> str | None:
    """The root that belongs to the store at `url`, where the last run here used that store."""
    from mitosis import settle

    top = repository()
    left = settle.pointer(top) if top is not None else None
    return str(left["root"]) if left and left["store"] == url else None


@contextlib.contextmanager
def opened(given: str | None) -> Iterator[Store | None]:
    """The existing store, its dead trials settled; None where there is none yet."""
    url = url_of(given)
    if url is None:
        yield None
        return
    from mitosis.store.store import Store

    store = Store.existing(url)
    if store is None:
        yield None
        return
    with store:
        from mitosis import settle

        root = root_of(store.url)
        settle.settle(store, Path(root) if root is not None else None)
        yield store


@contextlib.contextmanager
def required(given: str | None, name: str) -> Iterator[Store]:
    """As `opened`, for a command that names a trial: without a store there is no such trial."""
    with opened(given) as store:
        if store is None:
            raise TrialNotFound(
                f"there is no trial {name}: no store was found",
                "run something first, change into its repository, or name the store: --store URL",
            )
        yield store
