"""Tells Optuna's sweeper what the experiment says of its objectives, and where its study goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from mitosis.errors import ConfigurationRefused
from mitosis.gate import Verdict

_DIRECTIONS = ("minimize", "maximize")
_KEY = "hydra.sweeper."


def objectives(config: DictConfig) -> tuple[str, ...]:
    """The names of the metrics that an optimizing sweeper is told."""
    return tuple(str(name) for name in OmegaConf.select(config, "experiment.objectives") or ("main",))


def check(config: DictConfig, resumed: bool) -> None:
    """Raise ConfigurationRefused where the study cannot be what is asked of it."""
    if not _is_optuna(config):
        return
    directions(config)
    storage = OmegaConf.select(config, "hydra.sweeper.storage")
    if resumed and storage is None:
        raise ConfigurationRefused(
            "the study of this sweep lived in memory and ended with its driver: it cannot go on",
            "begin it anew, with hydra.sweeper.storage=URL for one that can",
        )
    if _holds_password(storage):
        raise ConfigurationRefused(
            "hydra.sweeper.storage holds a password, which Hydra would write to disk",
            "leave it out and give it by PGPASSWORD, ~/.pgpass or a service file",
        )


def _holds_password(storage: Any) -> bool:
    """Whether a storage, a URL or what is called with one, holds a password; of any database."""
    if OmegaConf.is_config(storage):
        storage = OmegaConf.to_container(storage, resolve=True)
    if isinstance(storage, dict | list):
        return any(map(_holds_password, storage.values() if isinstance(storage, dict) else storage))
    if not isinstance(storage, str) or "://" not in storage:
        return False
    parts = urlsplit(storage)
    options = {name for name, _ in parse_qsl(parts.query)}
    return bool(parts.password) or bool(options & {"password", "passwd", "sslpassword"})


def prepare(config: DictConfig, verdict: Verdict) -> Verdict:
    """Set direction, failure rate and name of the study, unless the command line did.

    Returns the verdict with the study's name and how many trials it had: jobs are numbered as its trials.
    """
    if not _is_optuna(config):
        return verdict
    given = {str(word).lstrip("+").partition("=")[0] for word in config.hydra.overrides.hydra}
    wanted: dict[str, Any] = {"max_failure_rate": 1.0}  # a failed trial is told to the study and ends nothing
    if OmegaConf.select(config, "experiment.direction") is not None:
        found = directions(config)
        wanted["direction"] = found if len(found) > 1 else found[0]
    if OmegaConf.select(config, "hydra.sweeper.study_name") is None:
        wanted["study_name"] = f"mitosis-{verdict.sweep}"
    with open_dict(config):
        for key, value in wanted.items():
            if _KEY + key not in given:
                config.hydra.sweeper[key] = value
    name, storage = str(config.hydra.sweeper.study_name), OmegaConf.select(config, "hydra.sweeper.storage")
    return replace(verdict, study=name, first_job=_trials(name, storage) if storage is not None else 0)


def directions(config: DictConfig) -> list[str]:
    """The directions of the objectives, one for each; raises ConfigurationRefused."""
    names, given = objectives(config), OmegaConf.select(config, "experiment.direction")
    found = [str(each) for each in given] if isinstance(given, ListConfig) else [str(given)]
    if given is None:
        return ["minimize"] * len(names)
    if len(found) != len(names) or not set(found) <= set(_DIRECTIONS):
        raise ConfigurationRefused(
            f"experiment.direction is {given}, with the objectives {', '.join(names)}",
            "name minimize or maximize for each: direction: [minimize, maximize]",
        )
    return found


def _is_optuna(config: DictConfig) -> bool:
    return str(OmegaConf.select(config, "hydra.sweeper._target_")).rpartition(".")[2] == "OptunaSweeper"


def _trials(name: str, storage: Any) -> int:
    """How many trials the study has; 0 where it is new."""
    import optuna
    from hydra.utils import instantiate

    kept = instantiate(storage) if isinstance(storage, DictConfig) else storage
    try:
        return len(optuna.load_study(study_name=name, storage=kept).get_trials(deepcopy=False))
    except KeyError:
        return 0
