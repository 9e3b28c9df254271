"""Which named choices feed `params`, what each contributes, and what a trial's variant is called."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mitosis import identity
from mitosis.errors import InternalError
from mitosis.trial import Variant

MAIN_GROUP = "params"
NAMELESS = "default"  # the label where no group feeds params


@dataclass(frozen=True, slots=True)
class Chosen:
    """The label of a trial's variant and the locked choices it is made of."""

    label: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """One config of Hydra's defaults list, loaded: whose choice it belongs to, and what it says."""

    owner: str | None  # the group as it is overridden ("params", "model@params.inner"); None: nobody's choice
    option: str
    package: str
    content: DictConfig
    declared: tuple[tuple[str, Any], ...]  # the group choices that its own defaults list makes


_cache: dict[tuple[object, ...], tuple[Variant, ...]] = {}


def chosen(hydra: DictConfig) -> Chosen:
    """The choices that feed `params` in the job whose Hydra node is `hydra`.

    Their content is composed anew with the command line's group choices and none of its values;
    jobs of one sweep with the same choices share it.
    """
    loader = GlobalHydra.instance().config_loader()
    key = (
        id(loader),
        str(hydra.job.config_name),
        *((group, str(option)) for group, option in hydra.runtime.choices.items()),
        *(word for word in hydra.overrides.task if word.startswith("~")),  # a group may be taken out
    )
    if key not in _cache:
        words = [*hydra.overrides.hydra, *hydra.overrides.task]
        found = loader.compute_defaults_list(hydra.job.config_name, words, RunMode.RUN)
        _cache[key] = _variants(_load(loader, found.defaults, found.overrides.known_choices))
    return Chosen(label(_cache[key], _values(hydra)), _cache[key])


def _values(hydra: DictConfig) -> list[Override]:
    """The overrides of the command line that give a parameter a value, or take one out."""
    key = re.compile(rf"[+~]*{MAIN_GROUP}[.=]|[+~]+{MAIN_GROUP}$")
    words = [
        w
        for w in hydra.overrides.task
        if key.match(w) and w.lstrip("+~").partition("=")[0] not in hydra.runtime.choices
    ]
    return OverridesParser.create().parse_overrides(words) if words else []


def label(variants: Iterable[Variant], values: Iterable[Override]) -> str:
    """`fast`; `digits,model=svm`; `fast+dt=0.5`: choices, then the values given on the command line."""
    names = []
    for variant in sorted(variants, key=lambda v: (v.group != MAIN_GROUP, v.group)):
        if variant.group == MAIN_GROUP:
            names.append(_quoted(variant.option))
        elif variant.group != "experiment":
            names.append(f"{variant.group}={_quoted(variant.option)}")
    changes = sorted(_change(o) for o in values if (o.key_or_group + ".").startswith(f"{MAIN_GROUP}."))
    return ",".join(names or [NAMELESS]) + "".join(f"+{c}" for c in changes)


def _change(override: Override) -> str:
    key = override.key_or_group.removeprefix(f"{MAIN_GROUP}.")
    return f"~{key}" if override.is_delete() else f"{key}={override.get_value_element_as_str()}"


def _quoted(option: str) -> str:
    """Options whose name could be read as part of the label are quoted, so that no two labels collide."""
    return json.dumps(option) if set(option) & set(',=+"~') else option


def _load(loader: ConfigLoader, defaults: list[ResultDefault], choices: dict[str, Any]) -> list[_Part]:
    """Every config of the defaults list but Hydra's own, in the order in which they are merged."""
    if not isinstance(loader, ConfigLoaderImpl):
        raise InternalError(f"Hydra's config loader is a {type(loader).__name__}, which is not known")
    parts = []
    for default in defaults:
        if (
            default.config_path is None
            or default.package == "hydra"
            or (default.package or "").startswith("hydra.")
        ):
            continue
        result = loader._load_single_config(default, loader.repository)
        if not isinstance(result.config, DictConfig):
            continue
        owner = _owner(default, choices, defaults)
        option = str(choices[owner]) if owner is not None else ""
        declared = _declared(result) if owner is not None else ()
        parts.append(_Part(owner, option, default.package or "", result.config, declared))
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


def _variants(parts: list[_Part]) -> tuple[Variant, ...]:
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


def _feeds(part: _Part) -> bool:
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
    if not isinstance(unresolved, str) or "${" not in unresolved:
        return unresolved
    try:
        value = OmegaConf.select(composed, path, throw_on_resolution_failure=True)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return unresolved  # another choice provides the node: it stays text
