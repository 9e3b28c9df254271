"""What the launchers of other projects need to be told, unless the user did: see docs/how-to."""

from __future__ import annotations

import re
import shutil
import subprocess

from omegaconf import DictConfig, OmegaConf, open_dict

from mitosis.errors import ConfigurationRefused

_SLURM, _RAY = "SlurmLauncher", "RayLauncher"
_MAX_ARRAY = 1000  # jobs: SLURM's MaxArraySize, the first index that is too large, is 1001 by default
_ANSWER_SECONDS = 30.0  # for a cluster that hangs; an answer takes a fraction of a second


def check(config: DictConfig) -> None:
    """Raise ConfigurationRefused where the engine would never notice that a job has died."""
    if _name(config) == _SLURM and not _accounting():
        raise ConfigurationRefused(
            "sacct gives no answer here: a sweep would wait for a job that was killed for ever",
            "let the cluster keep accounts, or put a sacct on PATH that asks the queue: docs/how-to/slurm.md",
        )


def prepare(config: DictConfig) -> None:
    """Set what makes the engine run each job once, and take a sweep of any size."""
    launcher, name = config.hydra.launcher, _name(config)
    with open_dict(config):
        if name == _SLURM and OmegaConf.select(config, "hydra.sweeper.max_batch_size", default=0) is None:
            config.hydra.sweeper.max_batch_size = _largest_array()
        if name == _RAY:
            # a worker that was killed is a lost trial, not one that runs up to three times more
            launcher.ray.remote.setdefault("max_retries", 0)
            if launcher.ray.init.get("address") is not None:
                # hydra-ray-launcher sets it, and Ray refuses it for a cluster that runs already
                launcher.ray.init.setdefault("object_store_memory", None)


def elsewhere(config: DictConfig) -> bool:
    """Whether other processes than the driver run the jobs."""
    return _name(config) != "BasicLauncher"


def _name(config: DictConfig) -> str:
    return str(OmegaConf.select(config, "hydra.launcher._target_")).rpartition(".")[2]


def _accounting() -> bool:
    # as submitit asks
    return _asked("sacct", "-o", "JobID,State,NodeList", "--parsable2", "-j", "1") is not None


def _largest_array() -> int:
    """How many jobs the cluster takes at once."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _asked("scontrol", "show", "config") or "", re.MULTILINE)
    return max(int(found[1]) - 1, 1) if found else _MAX_ARRAY


def _asked(*command: str) -> str | None:
    """What a command of SLURM answers; None where it is not there, fails, or gives no answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None
