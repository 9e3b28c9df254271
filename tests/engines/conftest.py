"""The engines as fixtures; one that is missing skips its tests, and fails them where MITOSIS_CI is set."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.engines import postgresql as postgresql_engine
from tests.engines import raycluster
from tests.engines import slurm as slurm_engine
from tests.engines.required import running


@pytest.fixture(scope="session", autouse=True)
def git_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A git configuration cut off from the user's, for repositories that several tests share."""
    home = tmp_path_factory.mktemp("git-home")
    config = home / "gitconfig"
    config.write_text(
        "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("GIT_", "MITOSIS_STORE"))]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        patch.setenv("XDG_CONFIG_HOME", str(home))
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgresql_engine.Server]:
    with running("postgresql", postgresql_engine.server()) as server:
        yield server


@pytest.fixture(scope="session")
def slurm() -> Iterator[slurm_engine.Cluster]:
    with running("slurm", slurm_engine.cluster()) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def ray() -> Iterator[raycluster.Cluster]:
    with running("ray", raycluster.cluster()) as cluster:
        yield cluster
