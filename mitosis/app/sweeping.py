"""What a sweep of Hydra's own sweeper will consist of, before anything of it is launched."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mitosis import gate
from mitosis.app import inner, variants
from mitosis.settings import Settings

_LOOKED_AT = 100  # combinations of choices; each further job is checked when it starts


def size(config: DictConfig) -> int | None:
    """How many jobs the command line asks for; None where a sweeper other than Hydra's own decides."""
    if not _basic(config):
        return None
    try:
        return math.prod(len(values) for _, values in _overrides(config))
    except HydraException:
        return None  # the sweeper says what is wrong with it


def check(config: DictConfig, verdict: gate.Verdict, settings: Settings) -> None:
    """Refuse the whole sweep where a variant that it chooses has another content than its name is locked to.

    Raises VariantRedefined, as each of its jobs would.
    """
    if not _basic(config):
        return
    try:
        combinations = list(itertools.islice(_choices(config), _LOOKED_AT))
        found = [variants.of(str(config.hydra.job.config_name), words) for words in combinations]
    except inner.BROKEN:
        return  # the sweeper says what is wrong with it
    every = {(c.experiment, v.name, v.digest): (c.experiment, v) for c in found for v in c.variants}
    if every:
        gate.check_variants(verdict, [(e, v) for e, v in every.values() if e], tuple(settings.redefine))


def _basic(config: DictConfig) -> bool:
    return str(OmegaConf.select(config, "hydra.sweeper._target_")).endswith("BasicSweeper")


def _overrides(config: DictConfig) -> Iterator[tuple[Override, list[str]]]:
    """Each override of the sweep and its words; what comes later on the line replaces what came first."""
    given = [f"{k}={v}" for k, v in (config.hydra.sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides([*given, *config.hydra.overrides.task])
    for override in {o.get_key_element(): o for o in overrides}.values():
        key = override.get_key_element()
        if override.is_sweep_override():
            yield override, [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            yield override, [str(override.input_line)]


def _choices(config: DictConfig) -> Iterator[list[str]]:
    """The words of each combination of group choices in the sweep."""
    loader = inner.loader()
    chosen = [
        words
        for override, words in _overrides(config)
        if override.is_delete() or loader.get_group_options(override.key_or_group)
    ]
    fixed = list(config.hydra.overrides.hydra)
    for combination in itertools.product(*chosen):
        yield [*fixed, *combination]
