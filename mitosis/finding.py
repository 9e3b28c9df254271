"""Finds the store for whoever reads: by its URL, the environment, or what the last run left behind."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitosis.errors import RepositoryRefused

if TYPE_CHECKING:
    from mitosis.store.store import Store
    from mitosis.trial import Trial


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
    from mitosis.capture import code

    top = repository()
    if top is None:
        return None
    left = _left(top)
    return str(left["project"]) if left and left.get("project") else code.project(top)


def _left(top: Path) -> dict[str, Any] | None:
    """What the last run left, with its paths below the repository where that is now.

    They are absolute, and the repository may have been moved, or copied: then they lead to the original.
    """
    from mitosis import settle
    from mitosis.capture import code

    left, main = settle.pointer(top), code.main_tree(top)
    if left is None:
        return None
    before = str(left.get("of", ""))
    if before and before != str(main):
        left = {
            **left,
            "root": _moved(left.get("root"), before, main),
            "store": _moved(left["store"], before, main),
        }
    own = main / "trials" / "mitosis.db"
    if not own.is_file():
        return left
    path = str(left["store"]).removeprefix("sqlite:///")
    if path != left["store"] and not Path(path).is_file():
        return {**left, "root": str(own.parent), "store": f"sqlite:///{own}"}
    if not Path(str(left.get("root", ""))).is_dir():
        return {**left, "root": str(own.parent)}
    return left


def _moved(place: object, before: str, main: Path) -> str:
    """A root or a store that lay below `before`, below `main`; any other as it is."""
    scheme = "sqlite:///" if str(place).startswith("sqlite:///") else ""
    path = str(place).removeprefix(scheme)
    return f"{scheme}{main}{path.removeprefix(before)}" if path.startswith(before + "/") else str(place)


def url_of(given: str | None) -> str | None:
    """The store's URL: `given`, else MITOSIS_STORE, else where the last run left it, else trials/."""
    from mitosis.store.address import located

    if given:
        return located(given, Path.cwd())
    top = repository()
    chosen = os.environ.get("MITOSIS_STORE")
    if chosen:  # one file from every directory of a repository, as a launch has it
        return located(chosen, _main(top))
    if top is None:
        return None
    left = _left(top)
    return str(left["store"]) if left else f"sqlite:///{_main(top) / 'trials' / 'mitosis.db'}"


def _main(top: Path | None) -> Path:
    """The top of the main working tree; the working directory outside of a repository."""
    from mitosis.capture import code

    return code.main_tree(top) if top is not None else Path.cwd()


def root_of(url: str) -> str | None:
    """The root that belongs to the store at `url`, where the last run here used that store."""

    top = repository()
    left = _left(top) if top is not None else None
    return str(left["root"]) if left and left["store"] == url else None


def home(trial: Trial) -> Path:
    """The repository of a trial: where it ran, else, where that is gone, the one around."""
    own = Path(trial.spec.code.repository)
    return own if (own / ".git").exists() else repository() or own


def existing(given: str | None) -> Store | None:
    """The store that is there, as it is; None where there is none yet. Raises StoreRefused."""
    url = url_of(given)
    if url is None:
        return None
    from mitosis.store.store import Store

    return Store.existing(url)
