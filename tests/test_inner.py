"""Composing from a directory that does not change gives what Hydra gives, and shares nothing between jobs."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

from hydra import initialize_config_dir
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mitosis.app import inner
from tests.test_variants import CONF

JOBS = (
    [],
    ["seed=1"],
    ["seed=2", "params.dt=0.5", "+params.new=1"],
    ["params.dt=0.75", "params={dt: 0.25}"],  # a value for what is a group, too: the later one holds
    ["params={dt: 0.25}", "params.dt=0.75"],
    ["params=plain", "~model@params.model"],
    ["model@params.model=forest", "machine=big", "scale=5"],
    ["params=plain", "hydra.job.chdir=false", "hydra/job_logging=none"],
    ["hydra.searchpath=[file://MORE]", "+extra=given"],
    ["+extra@params.extra=given", "hydra.searchpath=[file://MORE]"],
)


def composed(overrides: list[str]) -> DictConfig:
    return inner.loader().load_configuration("config", overrides, RunMode.RUN)


def test_what_jobs_share_does_not_leak(tmp_path: Path) -> None:
    """Each job gets the very config that Hydra composes from the files, whatever was done to another's."""
    top, more = tmp_path / "conf", tmp_path / "more"
    for name, content in {**CONF, "../more/extra/given.yaml": "given: ${seed}\n"}.items():
        (top / name).parent.mkdir(exist_ok=True, parents=True)
        (top / name).write_text(content, encoding="utf-8")
    jobs = [[word.replace("MORE", str(more)) for word in job] for job in JOBS]
    with initialize_config_dir(version_base="1.3", config_dir=str(top)):
        expected = [OmegaConf.to_yaml(composed(job)) for job in jobs]
        inner.move(lambda path: path)
        for _ in range(2):
            for job, text in zip(jobs, expected, strict=True):
                config = composed(job)
                assert OmegaConf.to_yaml(config) == text
                OmegaConf.set_struct(config, False)
                config.params.dt = config.hydra.job.name = "changed by the experiment"
                config.hydra.overrides.task.append("changed")
        assert set(vars(pickle.loads(pickle.dumps(inner.loader())))) == set(vars(inner.loader()))


def test_the_copies_of_a_job_are_what_hydra_would_make(tmp_path: Path) -> None:
    """Flags, types, interpolations across the copy's own root, and the parent that a masked copy keeps."""
    top = tmp_path / "conf"
    for name, content in CONF.items():
        (top / name).parent.mkdir(exist_ok=True, parents=True)
        (top / name).write_text(content, encoding="utf-8")
    with initialize_config_dir(version_base="1.3", config_dir=str(top)):
        master, plain = composed(["seed=1"]), composed(["seed=2"])
        inner.move(lambda path: path)
        config = inner.loader().load_sweep_config(master, ["seed=2"])
    assert type(config) is not DictConfig and type(config.hydra) is not DictConfig
    for light, slow in ((config, plain), (config.hydra, plain.hydra)):
        copied, wanted = copy.deepcopy(light), copy.deepcopy(slow)
        assert OmegaConf.to_yaml(copied) == OmegaConf.to_yaml(wanted)
        assert copied._metadata.flags == wanted._metadata.flags
        assert copied._metadata.object_type is wanted._metadata.object_type
        assert copied._get_parent() is light._get_parent()
    masked = OmegaConf.masked_copy(config, "hydra")
    assert OmegaConf.get_type(masked, "hydra") is OmegaConf.get_type(plain, "hydra")
    assert OmegaConf.is_readonly(config.hydra) == OmegaConf.is_readonly(plain.hydra)
    copied = copy.deepcopy(config)
    OmegaConf.set_struct(copied, False)
    copied.seed = 7
    copied.params.late = "${seed}"
    assert copied.params.late == 7 and config.seed == 2 and "late" not in config.params

    class Local:
        pass

    odd = inner._Light({"kept": OmegaConf.create({"x": 1})})
    odd._metadata.object_type = Local  # no module has it: pickle refuses
    assert copy.deepcopy(odd) == {"kept": {"x": 1}}
