"""Moves Hydra's configuration into the checkout that the code runs from."""

from __future__ import annotations

from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.global_hydra import GlobalHydra

from mitosis.errors import InternalError
from mitosis.trial import CodeState


def pin(repository: Path, code: CodeState) -> None:
    """Let every later composition read its YAML from `code.tree`.

    Hydra composes each job of a multirun when it starts, on some launchers in another process: without
    this an edit during the sweep would reach the later jobs. What lies outside the repository, and what
    the checkout does not hold, stays where it is. Private API of Hydra 1.3, hence one function.
    """
    tree = Path(code.tree)
    if tree == repository:
        return
    loader = GlobalHydra.instance().config_loader()
    if not isinstance(loader, ConfigLoaderImpl):
        raise InternalError(f"Hydra's config loader is a {type(loader).__name__}, which is not known")
    search = loader.config_search_path
    for element in search.get_path():
        path = Path((element.path or "").removeprefix("file://"))
        if not path.is_absolute() or not path.is_relative_to(repository):
            continue
        moved = tree / path.relative_to(repository)
        if moved.is_dir():
            element.path = f"file://{moved}"
    loader.repository = ConfigRepository(search)
