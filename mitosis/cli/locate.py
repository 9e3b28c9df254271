"""Finds the store for the reading commands, without Hydra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitosis.cli import text
from mitosis.errors import Refused, TrialNotFound
from mitosis.finding import existing, project, repository, root_of, url_of

if TYPE_CHECKING:
    from mitosis.store.store import Store

__all__ = ["opened", "project", "repository", "required", "root_of", "scope", "store_option", "url_of"]

store_option = click.option(
    "--store", "url", metavar="URL", help="The store; default: that of the last run here."
)


def scope(url: str | None) -> str | None:
    """The project whose trials `@1` counts: that of the repository; None, all, in a store that is named."""
    return None if url else project()


def root_or_guess(address: str | None) -> Path:
    """The root of the store at `address`: of the last run, else the store's directory, else trials/."""
    left = root_of(address) if address else None
    if left is not None:
        return Path(left)
    if address and address.startswith("sqlite:///"):
        return Path(address.removeprefix("sqlite:///")).parent
    top = repository()
    if top is None:
        raise Refused("no root of trials was found", "run this in the repository of your experiments")
    return top / "trials"


@contextlib.contextmanager
def opened(given: str | None) -> Iterator[Store | None]:
    """The existing store, its dead trials settled; None where there is none yet."""
    store = existing(given)
    if store is None:
        left = url_of(given)
        if given:  # it may be mistyped
            click.echo(text.safe(f"note: there is no store at {given}"), err=True)
        elif left is not None and root_of(left) is not None:  # where the last run left it
            click.echo(text.safe(f"note: the store of the last run is gone: {left}"), err=True)
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
