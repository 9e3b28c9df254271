"""Which named choices feed `params`, what each contributes, and what a trial's variant is called."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mitosis import identity
from mitosis.app import inner
from mitosis.errors import ConfigurationRefused
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


_cache: dict[tuple[object, ...], tuple[tuple[Variant, ...], dict[str, str]]] = {}


def chosen(hydra: DictConfig, config: DictConfig) -> Chosen:
    """The choices that feed `params` in the job that is composed as `config`, whose Hydra node is `hydra`.

    Their content is composed anew with the command line's group choices and none of its values;
    jobs of one sweep with the same choices share it.
    """
    loader = inner.loader()
    key = (
        id(loader),
        str(hydra.job.config_name),
        *((group, str(option)) for group, option in hydra.runtime.choices.items()),
        *(word for word in hydra.overrides.task if word.startswith("~")),  # a group may be taken out
    )
    if key not in _cache:
        words = [*hydra.overrides.hydra, *hydra.overrides.task]
        found = loader.compute_defaults_list(hydra.job.config_name, words, RunMode.RUN)
        parts = _load(found.defaults, found.overrides.known_choices)
        feeding = _variants(parts)
        _cache[key] = feeding, _others(parts, {v.group for v in feeding}, config)
    feeding, others = _cache[key]
    return Chosen(label(feeding, _values(hydra, config), others), feeding)


def check_redefined(names: Iterable[str]) -> None:
    """Refuse a name in `mitosis.redefine` that is no option: it would silently do nothing."""
    for name in names:
        group, _, option = name.rpartition("/")
        options = inner.loader().get_group_options(group.partition("@")[0]) if ":" not in name else [option]
        if option not in options:
            near = f"{group} has {', '.join(sorted(options)[:10])}" if options else "write params/fast"
            raise ConfigurationRefused(f"mitosis.redefine names {name}, which is no option of a group", near)


def _others(parts: list[_Part], feeding: set[str], config: DictConfig) -> dict[str, str]:
    """The chosen options, by group, that hold no parameter but a value which a parameter refers to."""
    found: dict[str, str] = {}
    if not _interpolates(config):
        return found
    plain = OmegaConf.to_container(config, resolve=False)
    for part in parts:
        if part.owner is None or part.owner in {"experiment", *feeding, *found}:
            continue
        keys = [f"{part.package}.{name!s}".lstrip(".") for name in part.content]
        if any(_refers(plain, key) for key in keys if key != "seed"):
            found[part.owner] = part.option
    return found


def _values(hydra: DictConfig, config: DictConfig) -> list[Override]:
    """The overrides of the command line that give a parameter a value, or take one out."""
    words = [w for w in hydra.overrides.task if _key(w) not in hydra.runtime.choices and _key(w) != "seed"]
    own = [w for w in words if f"{_key(w)}.".startswith(f"{MAIN_GROUP}.")]
    others = [w for w in words if w not in own and not w.startswith("~")]
    if others and _interpolates(config):
        plain = OmegaConf.to_container(config, resolve=False)
        own += [w for w in others if _refers(plain, _key(w))]
    return OverridesParser.create().parse_overrides(own) if own else []


def _interpolates(config: DictConfig) -> bool:
    """Does any parameter refer to anything."""
    raw = OmegaConf.to_container(config.get(MAIN_GROUP) or OmegaConf.create(), resolve=False)
    return "${" in str(raw)


def _key(word: str) -> str:
    """What an override overrides: a group, or the dotted name of a value."""
    return word.lstrip("+~").partition("=")[0]


def _refers(plain: Any, key: str) -> bool:
    """Do the parameters refer, however indirectly, to the node `key` outside of them."""

    def resolved(value: str) -> Any:
        config = OmegaConf.create(plain)  # without types: any node takes any value
        OmegaConf.update(config, key, value, merge=False, force_add=True)
        try:
            return OmegaConf.to_container(config[MAIN_GROUP], resolve=True)
        except (OmegaConfBaseException, ArithmeticError, LookupError, TypeError, ValueError):
            return value  # a resolver cannot take this value: it was asked for

    return bool(resolved("one value") != resolved("another value"))


def label(variants: Iterable[Variant], values: Iterable[Override], others: Mapping[str, str]) -> str:
    """`fast`; `digits,model=svm`; `fast+dt=0.5`: choices, then the values given on the command line.

    `others` are chosen options, by group, that parameters refer to and which hold none themselves.
    A value outside of `params` that a parameter refers to has Hydra's word for the top before its
    name: `fast+_global_.scale=5`.
    """
    names = []
    for variant in sorted(variants, key=lambda v: (v.group != MAIN_GROUP, v.group)):
        if variant.group == MAIN_GROUP:
            names.append(_quoted(variant.option))
        elif variant.group != "experiment":
            names.append(f"{variant.group}={_quoted(variant.option)}")
    names += [f"{group}={_quoted(option)}" for group, option in sorted(others.items())]
    changes = sorted(_change(override) for override in values)
    return ",".join(names or [NAMELESS]) + "".join(f"+{c}" for c in changes)


def _change(override: Override) -> str:
    inside = f"{override.key_or_group}.".startswith(f"{MAIN_GROUP}.")
    key = (
        override.key_or_group.removeprefix(f"{MAIN_GROUP}.")
        if inside
        else f"_global_.{override.key_or_group}"
    )
    return f"~{key}" if override.is_delete() else f"{key}={override.get_value_element_as_str()}"


def _quoted(option: str) -> str:
    """Options whose name could be read as part of the label are quoted, so that no two labels collide."""
    return json.dumps(option) if set(option) & set(',=+"~') else option


def _load(defaults: list[ResultDefault], choices: dict[str, Any]) -> list[_Part]:
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
