"""What we take from Hydra's private API (1.3): composing, launchers, reports; nobody else touches it."""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import functools
import pickle
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra._internal import config_loader_impl, utils
from hydra._internal import hydra as hydra_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository, IConfigRepository
from hydra._internal.defaults_list import DefaultsList
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from mitosis.app.config import PRIMARY
from mitosis.errors import InternalError

BROKEN = (HydraException, yaml.YAMLError, UnicodeDecodeError)
"""What reading and composing the user's files raises."""


def loader() -> ConfigLoaderImpl:
    """Hydra's loader of this invocation; raises InternalError where it is another one than we know."""
    found = GlobalHydra.instance().config_loader()
    if not isinstance(found, ConfigLoaderImpl):
        raise InternalError(f"Hydra's config loader is a {type(found).__name__}, which is not known")
    return found


def wrap_launchers(wrapped: Callable[[Launcher], Launcher]) -> None:
    """Let every launcher that Hydra makes from now on be what `wrapped` makes of it."""
    plugins = Plugins.instance()
    make = Plugins.instantiate_launcher

    def instantiate_launcher(**given: Any) -> Launcher:
        return wrapped(make(plugins, **given))

    plugins.instantiate_launcher = instantiate_launcher  # type: ignore[method-assign,assignment]


@contextlib.contextmanager
def reported_by(report: Callable[[Callable[[Any], Any], Callable[[], Any]], Any]) -> Iterator[None]:
    """Meanwhile Hydra runs its body through `report(plain, body)`, `plain` being its own reporter.

    A version of Hydra that has no reporter of that name keeps its own words.
    """
    plain: Callable[[Any], Any] | None = getattr(utils, "run_and_report", None)
    if plain is None:
        yield
        return
    utils.run_and_report = functools.partial(report, plain)
    try:
        yield
    finally:
        utils.run_and_report = plain  # type: ignore[assignment]


def parser() -> argparse.ArgumentParser:
    """What reads Hydra's own flags."""
    return utils.get_args_parser()


def load(default: ResultDefault) -> ConfigResult:
    """One config of a defaults list, as it is written: nothing merged into it."""
    own = loader()
    return own._load_single_config(default, own.repository)


@contextlib.contextmanager
def reading_once() -> Iterator[None]:
    """Meanwhile the loader that Hydra makes is a `Fixed` one.

    Hydra composes twice before anything runs, first to learn what is asked of it, and we look at the
    defaults list once more.
    """
    impl: Any = hydra_impl  # whose name it is that is looked up
    plain = impl.ConfigLoaderImpl
    impl.ConfigLoaderImpl = Fixed
    try:
        yield
    finally:
        impl.ConfigLoaderImpl = plain


def read_anew() -> None:
    """From now on files are read whenever something is composed: they lie in a tree that may change."""
    loader().__class__ = ConfigLoaderImpl


def move(moved: Callable[[Path], Path]) -> None:
    """Let each absolute entry of the search path be what `moved` says, for every later composition.

    What it moves to must not change any more: files are read once, see `Fixed`.
    """
    own = loader()
    for element in own.config_search_path.get_path():
        path = Path((element.path or "").removeprefix("file://"))
        if path.is_absolute():
            element.path = f"file://{moved(path)}"
    own.repository = ConfigRepository(own.config_search_path)
    own.__class__ = Fixed


class Fixed(ConfigLoaderImpl):
    """Hydra's loader where the files do not change: what jobs share is read and merged once.

    Hydra composes every job of a sweep twice from the files, once to check all of them and once to run
    it, which costs more than a short trial. Shared are the files that were read, the defaults list that
    choices of groups make of them, and the config that a defaults list merges to; all before the values
    of the command line, which differ from job to job and are put into a copy.

    A worker gets a loader of its own with each job: what is shared belongs to the process.
    """

    def load_configuration(self, *given: Any, **named: Any) -> DictConfig:
        """The config of a job, of which `run_job` makes four copies."""
        return _light(super().load_configuration(*given, **named))

    def compute_defaults_list(self, *given: Any, **named: Any) -> DefaultsList:
        """The list by itself, which composing has made already."""
        with _lists_shared():
            return super().compute_defaults_list(*given, **named)

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        parsed = OverridesParser.create().parse_overrides(overrides=overrides)
        searched = next((o.input_line for o in parsed if o.get_key_element() == "hydra.searchpath"), None)
        read = _read_at(_place(self))
        if (config_name, searched) not in read:
            repository = _Read(self.repository)
            self._process_config_searchpath(config_name, parsed, repository)
            read[config_name, searched] = repository
        return parsed, read[config_name, searched]

    def _load_configuration_impl(self, *given: Any, **named: Any) -> DictConfig:
        with _lists_shared():
            return super()._load_configuration_impl(*given, **named)

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        assert isinstance(repo, _Read)
        compose = super()._compose_config_from_defaults_list
        key = tuple((d.config_path, d.package, d.primary, d.is_self) for d in defaults)
        # a repository of its own: merging changes the configs that it has read
        merged: _Copied = repo.kept(
            key, lambda: _Copied(compose(defaults, CachingConfigRepository(repo.delegate)))
        )
        return merged.copy()


class _Copied:
    """A config to be copied again and again: from its pickled form, in a fifth of the time."""

    def __init__(self, config: DictConfig) -> None:
        self._config = config
        self._pickled = _pickled(config)

    def copy(self) -> DictConfig:
        """One that shares nothing with any other."""
        return copy.deepcopy(self._config) if self._pickled is None else _unpickled(self._pickled)


class _Light(DictConfig):
    """A config that is copied by pickle, which takes less than half of the time of OmegaConf's own way."""

    def __deepcopy__(self, memo: dict[int, Any]) -> DictConfig:
        parent, self.__dict__["_parent"] = self.__dict__["_parent"], None
        try:
            pickled = _pickled(self)
        finally:
            self.__dict__["_parent"] = parent
        if pickled is None:
            return super().__deepcopy__(memo)
        copied = _unpickled(pickled)
        copied.__dict__["_parent"] = parent
        return copied


def _pickled(config: DictConfig) -> bytes | None:
    """None where it holds what cannot be pickled: a class of the user's that no module has."""
    try:
        return pickle.dumps(config, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
        return None


def _unpickled(pickled: bytes) -> DictConfig:
    made: DictConfig = pickle.loads(pickled)  # noqa: S301 - by this very process, a moment ago
    return made


def _light(config: DictConfig) -> DictConfig:
    """The same config, whose copies, and those of its Hydra node, are cheap."""
    for node in (config, config._get_node("hydra")):
        if type(node) is DictConfig:
            object.__setattr__(node, "__class__", _Light)
    return config


def origin() -> Hashable:
    """What tells this loader from others: where its files lie, as long as they cannot change."""
    own = loader()
    return _place(own) if isinstance(own, Fixed) else id(own)


def _place(own: ConfigLoaderImpl) -> Hashable:
    """The directories, and the primary config, which is made anew for each invocation."""
    store, name = ConfigStore.instance(), f"{PRIMARY}.yaml"
    primary = str(store.load(name).node) if name in store.list("") else ""
    return primary, *((element.provider, element.path) for element in own.config_search_path.get_path())


_read: dict[Hashable, dict[tuple[str | None, str | None], _Read]] = {}


def _read_at(place: Hashable) -> dict[tuple[str | None, str | None], _Read]:
    """What this process has read there, by primary config and search path of the command line."""
    found = _read.get(place)
    if found is None:
        _read.clear()  # of a sweep that is over
        found = _read[place] = {}
    return found


class _Read(CachingConfigRepository):
    """Files that were read and cannot change, and what was made of them."""

    def __init__(self, delegate: IConfigRepository) -> None:
        super().__init__(delegate)
        self._kept: dict[Any, Any] = {}

    def kept(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gave for this key."""
        if key not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = make()
        return self._kept[key]


_KEPT = 200  # defaults lists and merged configs, of some hundred kilobytes each


@contextlib.contextmanager
def _lists_shared() -> Iterator[None]:
    """Meanwhile Hydra makes the defaults list of the same choices of groups once."""
    impl: Any = config_loader_impl  # whose name it is that composing looks up
    plain = impl.create_defaults_list

    def shared(
        repo: _Read,
        config_name: str | None,
        overrides_list: list[Override],
        prepend_hydra: bool,
        skip_missing: bool,
    ) -> DefaultsList:
        single = [o for o in overrides_list if not o.is_sweep_override()]
        choices = [o for o in single if repo.group_exists(o.key_or_group) and not isinstance(o.value(), dict)]
        key = (config_name, prepend_hydra, skip_missing, *(o.input_line for o in choices))
        made: DefaultsList = repo.kept(
            key, lambda: plain(repo, config_name, choices, prepend_hydra, skip_missing)
        )
        return dataclasses.replace(made, config_overrides=[o for o in single if o not in choices])

    impl.create_defaults_list = shared
    try:
        yield
    finally:
        impl.create_defaults_list = plain
