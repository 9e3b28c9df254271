"""Makes the request for a trial out of a composed configuration."""

from __future__ import annotations

import copy
import re
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mitosis import expect, identity
from mitosis.app import naming, variants
from mitosis.app.callback import settings_of
from mitosis.errors import ConfigurationRefused, ParameterRefused
from mitosis.request import Request
from mitosis.settings import changed

_QUALIFIED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")  # an identifier chain: a.b.c


def experiment_name(config: DictConfig, hydra: DictConfig) -> str:
    """The name of the chosen experiment; where no group chose it, the last part of its module's name."""
    chosen = hydra.runtime.choices.get("experiment")
    if chosen:
        return str(chosen)
    return str(OmegaConf.select(config, "experiment.module") or "experiment").rpartition(".")[2]


def request(config: DictConfig, hydra: DictConfig, job: int | None) -> Request:
    """The trial that `config` asks for, as job `job` of its sweep.

    Raises ConfigurationRefused where it asks for what cannot be.
    """
    settings = settings_of(config)
    variants.check_redefined(settings.redefine)
    seed = _seed(config)
    module, function = _entry_point(config)
    params = _resolved(config, seed)
    tracked = identity.seed_free(params, _resolved(config, seed + 1), _unresolved(config))
    tracked = _without(tracked, settings.untracked)
    chosen = naming.chosen(hydra, config)
    return Request(
        experiment=experiment_name(config, hydra),
        module=module,
        function=function,
        input_patterns=_inputs(config),
        params=params,
        tracked=tracked,
        seed=seed,
        label=chosen.label,
        variants=chosen.variants,
        settings=settings,
        overrides=tuple(hydra.overrides.task),
        job=job,
        instantiate=_has_target(params),
        changed_settings=changed(settings),
        expect=expect.checked(_expected(config)),
    )


def job_number(hydra: DictConfig, first: int = 0) -> int | None:
    """The number of this job in its sweep, which begins at `first`; None in a single run."""
    return None if OmegaConf.is_missing(hydra.job, "num") else first + int(hydra.job.num)


def _seed(config: DictConfig) -> int:
    try:
        seed = OmegaConf.select(config, "seed", throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigurationRefused(f"seed: {_first_line(error)}", "give an integer: seed=0") from error
    if isinstance(seed, bool) or not isinstance(seed, int):
        todo = "give an integer: seed=0 (conf/seed.yaml holds the default)"
        raise ConfigurationRefused(f"the seed is {seed!r}, which is no integer", todo)
    if not -(2**63) <= seed < 2**63:
        raise ConfigurationRefused(f"the seed {seed} has more than 64 bits", "give a smaller one: seed=0")
    return seed


def _inputs(config: DictConfig) -> tuple[str, ...]:
    try:
        return tuple(str(pattern) for pattern in config.experiment.inputs)
    except OmegaConfBaseException as error:
        raise ConfigurationRefused(
            f"experiment.inputs: {_first_line(error)}", "list files, directories or globs"
        ) from error


def _expected(config: DictConfig) -> dict[str, str]:
    try:
        return {str(metric): str(text) for metric, text in config.experiment.expect.items()}
    except OmegaConfBaseException as error:
        raise ConfigurationRefused(
            f"experiment.expect: {_first_line(error)}", 'name metrics: expect: {main: "< 0.01"}'
        ) from error


def _entry_point(config: DictConfig) -> tuple[str, str]:
    experiment = OmegaConf.select(config, "experiment")
    todo = "conf/experiment/NAME.yaml holds `module: package.module` and, unless it is run, `function: name`"
    try:
        module, function = str(experiment.module), str(experiment.function)
    except (MissingMandatoryValue, AttributeError) as error:
        raise ConfigurationRefused("the experiment names no module", todo) from error
    for key, value in (("module", module), ("function", function)):
        if not _QUALIFIED.fullmatch(value):
            raise ConfigurationRefused(f"experiment.{key} is {value!r}, which is no name of Python", todo)
    return module, function


def _resolved(config: DictConfig, seed: int) -> Any:
    """`params` as plain values, resolved as if the seed were `seed`."""
    try:
        # among the keys: `in config` would resolve what `params` refers to
        referring = "params" in config.keys() and OmegaConf.is_interpolation(config, "params")  # noqa: SIM118
        if referring or naming.interpolates(config):
            config = copy.deepcopy(config)
            OmegaConf.set_readonly(config, False)
            config.seed = seed
        node = config.get("params")
        if node is None:
            return {}
        if not OmegaConf.is_dict(node):
            todo = "params holds the keyword arguments of the experiment"
            raise ParameterRefused(f"params is {identity.shown(node)}, which is no mapping", todo)
        params = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", "params")
        raise ConfigurationRefused(
            f"{key} has no value (it is ??? in the configuration)", f"give one: {key}=VALUE"
        ) from error
    except OmegaConfBaseException as error:
        raise ConfigurationRefused(
            f"{_full_key(error)}: {_first_line(error)}", "see it with: --cfg job --resolve"
        ) from error
    assert isinstance(params, dict)  # by to_container of a mapping
    if "seed" in params:
        raise ParameterRefused(
            "params.seed: the seed is never a parameter",
            "remove it from the parameter group and give it as: seed=7",
        )
    return params


def _without(tracked: Any, untracked: list[str]) -> Any:
    """The parameters less those that `mitosis.untracked` names. Raises ConfigurationRefused."""
    tracked = copy.deepcopy(tracked)
    for name in untracked:
        first, *keys = name.split(".")
        holder = tracked
        for key in keys[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if first != "params" or not keys or not isinstance(holder, dict) or keys[-1] not in holder:
            raise ConfigurationRefused(
                f"mitosis.untracked names {name}, which is no parameter of this trial",
                "write the whole name: mitosis.untracked=[params.device]",
            )
        del holder[keys[-1]]
    return tracked


def _unresolved(config: DictConfig) -> Any:
    if "params" not in config or config.params is None:
        return {}
    return OmegaConf.to_container(config.params, resolve=False)


def _full_key(error: OmegaConfBaseException) -> str:
    """The key that could not be resolved, as far as OmegaConf tells it."""
    return str(getattr(error, "full_key", None) or "params")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _has_target(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(_has_target(v) for v in value.values())
    return isinstance(value, list | tuple) and any(_has_target(v) for v in value)
