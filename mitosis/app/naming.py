"""What a trial's variant is called: its choices, and what else gave a parameter its value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mitosis import identity
from mitosis.app import inner, variants
from mitosis.app.variants import MAIN_GROUP, Part
from mitosis.trial import Variant

NAMELESS = "default"  # the label where no group feeds params


@dataclass(frozen=True, slots=True)
class Chosen:
    """The label of a trial's variant and the locked choices it is made of."""

    label: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What all jobs with the same choices share."""

    variants: tuple[Variant, ...]
    others: Mapping[str, str]  # chosen options, by group, that parameters refer to
    params: Any  # what the options contribute to `params`, unresolved


_cache: dict[tuple[object, ...], _Known] = {}


def chosen(hydra: DictConfig, config: DictConfig) -> Chosen:
    """The choices that feed `params` in the job that is composed as `config`, whose Hydra node is `hydra`.

    Their content is composed anew with the command line's group choices and none of its values;
    jobs of one sweep with the same choices share it.
    """
    key = (
        inner.origin(),
        str(hydra.job.config_name),
        *((group, str(option)) for group, option in hydra.runtime.choices.items()),
        *(word for word in hydra.overrides.task if word.startswith("~")),  # a group may be taken out
        *hydra.overrides.hydra,  # where else to look
    )
    if key not in _cache:
        words = [*hydra.overrides.hydra, *hydra.overrides.task]
        found = variants.of(hydra.job.config_name, words)
        others = _others(found.parts, {v.group for v in found.variants}, config)
        _cache[key] = _Known(found.variants, others, _contributed(found.parts))
    known = _cache[key]
    given = _values(hydra, config)
    return Chosen(
        label(known.variants, given, known.others, _replaced(known.params, config, given)), known.variants
    )


def _contributed(parts: Iterable[Part]) -> Any:
    """What the chosen options put under `params`, as they are written."""
    contents = [p.content for p in parts if p.owner is not None and p.owner != "experiment"]
    merged: Any = OmegaConf.merge(*[OmegaConf.create({}), *contents])
    node = merged.get(MAIN_GROUP)
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else {}


def _replaced(contributed: Any, config: DictConfig, given: Iterable[Override]) -> dict[str, Any]:
    """Parameters, by name, that an option contributes and that have another value all the same.

    The primary config and the experiment may say something after the options; what the command line gives
    is told anyway.
    """
    told = {override.key_or_group.removeprefix(f"{MAIN_GROUP}.") for override in given}
    final = OmegaConf.to_container(config.get(MAIN_GROUP) or OmegaConf.create(), resolve=False)
    return {
        path: value
        for path, value in _different(contributed, final, "")
        if not any(f"{path}.".startswith(f"{name}.") or f"{name}.".startswith(f"{path}.") for name in told)
    }


def _different(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key in new:
                yield from _different(old[key], new[key], f"{path}.{key}" if path else str(key))
    elif type(old) is not type(new) or (old != new and repr(old) != repr(new)):  # nan is nan
        yield path, new


def _others(parts: Iterable[Part], feeding: set[str], config: DictConfig) -> dict[str, str]:
    """The chosen options, by group, that hold no parameter but a value which a parameter refers to."""
    found: dict[str, str] = {}
    if not interpolates(config):
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
    if others and interpolates(config):
        plain = OmegaConf.to_container(config, resolve=False)
        own += [w for w in others if _refers(plain, _key(w))]
    return OverridesParser.create().parse_overrides(own) if own else []


def interpolates(config: DictConfig) -> bool:
    """Does any parameter refer to anything."""
    node = config.get(MAIN_GROUP)
    return OmegaConf.is_config(node) and "${" in str(OmegaConf.to_container(node, resolve=False))


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


def label(
    variants: Iterable[Variant],
    values: Iterable[Override],
    others: Mapping[str, str],
    replaced: Mapping[str, Any],
) -> str:
    """`fast`; `digits,model=svm`; `fast+dt=0.5`: choices, then the values given on the command line.

    `others` are chosen options, by group, that parameters refer to and which hold none themselves.
    `replaced` are parameters of an option that the primary config or the experiment has changed.
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
    changes = sorted(
        [
            *(_change(override) for override in values),
            *(f"{key}={identity.shown(value)}" for key, value in replaced.items()),
        ]
    )
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
