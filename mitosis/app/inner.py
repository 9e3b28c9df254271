"""What we take from Hydra's private API (1.3): loading one config, and moving the search path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.config_source import ConfigResult

from mitosis.errors import InternalError


def loader() -> ConfigLoaderImpl:
    """Hydra's loader of this invocation; raises InternalError where it is another one than we know."""
    found = GlobalHydra.instance().config_loader()
    if not isinstance(found, ConfigLoaderImpl):
        raise InternalError(f"Hydra's config loader is a {type(found).__name__}, which is not known")
    return found


def load(default: ResultDefault) -> ConfigResult:
    """One config of a defaults list, as it is written: nothing merged into it."""
    own = loader()
    return own._load_single_config(default, own.repository)


def move(moved: Callable[[Path], Path]) -> None:
    """Let each absolute entry of the search path be what `moved` says, for every later composition."""
    own = loader()
    for element in own.config_search_path.get_path():
        path = Path((element.path or "").removeprefix("file://"))
        if path.is_absolute():
            element.path = f"file://{moved(path)}"
    own.repository = ConfigRepository(own.config_search_path)
