"""Which named choices feed `params`, and what each contributes: the content that its name is locked to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hydra.core.default_element import ResultDefault
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mitosis import identity
from mitosis.app import inner
from mitosis.errors import ConfigurationRefused
from mitosis.trial import Variant

MAIN_GROUP = "params"


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of one composition: those that feed `params`, and all parts that they are made of."""

    experiment: str | None
    variants: tuple[Variant, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One config of Hydra's defaults list, loaded: whose choice it belongs to, and what it says."""

    owner: str | None  # the group as it is overridden ("params", "model@params.inner"); None: nobody's choice
    option: str
    package: str
    content: DictConfig
    declared: tuple[tuple[str, Any], ...]  # the group choices that its own defaults list makes


def of(config_name: str, words: Iterable[str]) -> Choices:
    """The choices that the command line `words` makes; their content is composed without its values."""
    found = inner.loader().compute_defaults_list(config_name, list(words), RunMode.RUN)
    choices = found.overrides.known_choices
    parts = _load(found.defaults, choices)
    experiment = choices.get("experiment")
    return Choices(str(experiment) if experiment else None, _variants(parts), tuple(parts))


def check_redefined(names: Iterable[str]) -> None:
    """Refuse a name in `mitosis.redefine` that is no option: it would silently do nothing."""
    for name in names:
        group, _, option = name.rpartition("/")
        if ":" in name:
            continue  # a table of values, see `mitosis.lookup`
        options = inner.loader().get_group_options(group.partition("@")[0]) if group else []
        if option not in options:
            near = (
                f"{group} has {', '.join(sorted(options)[:10])}"
                if options
                else "write group/option: params/fast"
            )
            raise ConfigurationRefused(f"mitosis.redefine names {name}, which is no option of a group", near)


def _load(defaults: list[ResultDefault], choices: dict[str, Any]) -> list[Part]:
    """Every config of the defaults list but Hydra's own, in the order in which they are merged."""
    parts = []
    for default in defaults:
        if (
            default.config_path is None
            or default.package == "hydra"
            or (default.package or "").startswith("hydra.")
        ):
            continue
        result = inner.load(default)
        if not isinstance(result.config, DictConfig):
            continue
        owner = _owner(default, choices, defaults)
        option = str(choices[owner]) if owner is not None else ""
        declared = _declared(result) if owner is not None else ()
        parts.append(Part(owner, option, default.package or "", result.config, declared))
    return parts


def _owner(default: ResultDefault, choices: dict[str, Any], defaults: list[ResultDefault]) -> str | None:
    """The group whose chosen option is this config, or pulled this config in."""
    seen: set[str] = set()
    while default.config_path is not None and default.config_path not in seen:
        seen.add(default.config_path)
        if default.override_key is not None:
            return default.override_key
        own = [
            k
            for k, o in choices.items()
            if o is not None and f"{k.partition('@')[0]}/{o}" == default.config_path
        ]
        if own:
            exact = [k for k in own if k.partition("@")[2] == default.package]
            return (exact or own)[0]
        parent = next((d for d in defaults if d.config_path == default.parent), None)
        if parent is None:
            return next(
                (k for k, o in choices.items() if f"{k.partition('@')[0]}/{o}" == default.parent), None
            )
        default = parent
    return None


def _declared(result: ConfigResult) -> tuple[tuple[str, Any], ...]:
    """The choices that an option's own defaults list makes for other groups, as it is written."""
    made: list[tuple[str, Any]] = []
    for default in result.defaults_list or []:
        group = getattr(default, "group", None)
        if group is not None:
            value = getattr(default, "value", None)
            made.append((str(group), list(value) if isinstance(value, list | ListConfig) else value))
    return tuple(made)


def _variants(parts: list[Part]) -> tuple[Variant, ...]:
    common = [p.content for p in parts if p.owner is None]
    variants = []
    for group in dict.fromkeys(p.owner for p in parts if p.owner is not None):
        own = [p for p in parts if p.owner == group]
        if not any(_feeds(p) for p in own):
            continue
        contributed: Any = OmegaConf.merge(*[OmegaConf.create({}), *(p.content for p in own)])
        composed = OmegaConf.merge(*[OmegaConf.create({}), *common, contributed])
        contents: dict[str, Any] = {"params": _contents(contributed, composed)}
        declared = {name: value for p in own for name, value in p.declared}
        if declared:
            contents["defaults"] = declared
        text = identity.canonical(contents)
        variants.append(Variant(group, own[0].option, identity.digest(text), text))
    return tuple(variants)


def _feeds(part: Part) -> bool:
    return (part.package + ".").startswith(f"{MAIN_GROUP}.") or MAIN_GROUP in part.content


def _contents(contributed: Any, composed: Any) -> Any:
    """What an option contributes to `params`: interpolations are resolved where nobody else's choice and
    not the seed is needed, and stay text otherwise.
    """
    node = contributed.get(MAIN_GROUP) if isinstance(contributed, DictConfig) else None
    if node is None:
        return {}
    OmegaConf.set_struct(composed, False)
    composed.seed = 0
    first = _leaves(node, composed, MAIN_GROUP)
    composed.seed = 1
    second = _leaves(node, composed, MAIN_GROUP)
    return identity.seed_free(first, second, OmegaConf.to_container(node, resolve=False))


def _leaves(node: Any, composed: Any, path: str) -> Any:
    raw = OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
    if isinstance(node, DictConfig) and not isinstance(raw, str) and raw is not None:
        return {k: _leaves(node._get_node(k), composed, f"{path}.{k!s}") for k in node}
    if isinstance(node, ListConfig) and isinstance(raw, list):
        return [_leaves(node._get_node(i), composed, f"{path}[{i}]") for i in range(len(raw))]
    unresolved = node._value() if hasattr(node, "_value") else node
    if not isinstance(unresolved, str) or "${" not in unresolved or "${now:" in unresolved:
        return unresolved  # the time is no content of an option
    try:
        value = OmegaConf.select(composed, path, throw_on_resolution_failure=True)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return unresolved  # another choice provides the node: it stays text
