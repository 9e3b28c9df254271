"""Composing from a directory that does not change gives what Hydra gives, and shares nothing between jobs."""

from __future__ import annotations

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
        assert set(vars(pickle.loads(pickle.dumps(inner.loader())))) == set(vars(inner.loader())) - {"_read"}
