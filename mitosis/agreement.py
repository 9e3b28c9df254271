"""Makes sure that a worker, perhaps on another host, sees what the driver saw."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from mitosis.capture import code, environment
from mitosis.errors import StoreUnseen, WorkerRefused
from mitosis.gate import Verdict
from mitosis.patience import patiently
from mitosis.settings import PATIENCE

_SHARE = "put the repository and mitosis.root on a file system that all hosts share"


def check(verdict: Verdict) -> None:
    """Raise WorkerRefused where this process sees another mitosis, store, root or commit than the driver.

    It is StoreUnseen where the worker has nowhere to record that. Every file of the checkout is looked at
    once in a process, as the driver does it once; whether it is there at all, each time.
    """
    here = platform.node()
    key = (verdict.store, verdict.sweep, verdict.root, verdict.version, verdict.code)
    agreed = key in _agreed
    if not agreed and verdict.sweep is not None and not _holds(verdict.store, verdict.sweep):
        raise StoreUnseen(
            f"the store {verdict.store} on {here} does not hold the sweep {verdict.sweep}: it is another one",
            "share a PostgreSQL between the hosts: mitosis.store=postgresql+psycopg://USER@HOST/DATABASE",
        )
    if not Path(verdict.root).is_dir():
        raise StoreUnseen(f"the root {verdict.root} is not there on {here}", _SHARE)
    own = environment.own_code()
    if own != verdict.version:
        raise WorkerRefused(
            f"{here} runs mitosis {own}, the driver runs {verdict.version}",
            "install the same on both, best one environment on a shared file system",
        )
    _check_code(verdict, here, agreed)
    if Path(verdict.code.tree) != Path(verdict.code.repository):  # whose HEAD may move
        _agreed.add(key)


_agreed: set[tuple[Any, ...]] = set()  # by what is compared: it was found to agree


def _holds(url: str, sweep: str) -> bool:
    """Does the store at `url`, as this host sees it, hold the sweep; nothing is made where there is none."""
    from mitosis.store.store import Store

    def ask() -> bool:
        store = Store.existing(url)
        if store is None:
            return False
        with store:
            return store.sweep(sweep) is not None

    return patiently(ask, PATIENCE)


def _check_code(verdict: Verdict, host: str, agreed: bool) -> None:
    state, tree = verdict.code, Path(verdict.code.tree)
    if not tree.is_dir():
        raise WorkerRefused(f"the code {tree} is not there on {host}", _SHARE)
    if tree == Path(state.repository):
        found = code.head(tree)
        if found != state.commit:
            what = f"{tree} on {host} is at commit {found[:7]}, the driver started from {state.commit[:7]}"
            raise WorkerRefused(what, "leave out mitosis.checkout=inplace: a sweep then runs from a copy")
        return
    if agreed:
        return
    from mitosis.capture import manifest

    wrong = manifest.damage(tree)
    if wrong:
        raise WorkerRefused(f"the code {tree} on {host} is not that of the commit: {wrong[0]}", _SHARE)
