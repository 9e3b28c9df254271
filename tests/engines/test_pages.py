"""The commands of the how-to pages about engines, run among those engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import required
from tests.store_values import database_on
from tests.test_docs import DOCS, Shell, follow, shell

__all__ = ["shell"]  # a fixture

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.engines]


@pytest.fixture
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """$LAB is the URL of a new database on a PostgreSQL."""
    server = request.getfixturevalue("postgresql")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    with database_on(server.url) as url:
        monkeypatch.setenv("LAB", url)
        yield


def page(name: str) -> Path:
    return DOCS / "how-to" / f"{name}.md"


def test_the_page_about_postgresql(lab: None, shell: Shell) -> None:
    """The commands print what the page shows."""
    follow(page("postgres"), shell)


@pytest.mark.parametrize("name", ["joblib", "optuna"])
def test_the_page_about_a_plugin(name: str, shell: Shell) -> None:
    """The commands print what the page shows."""
    required.plugin(name)
    follow(page(name), shell)


def test_the_page_about_slurm(
    request: pytest.FixtureRequest, lab: None, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands print what the page shows."""
    required.plugin("submitit")
    cluster = request.getfixturevalue("slurm")
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    monkeypatch.setenv("PATH", str(Path(__file__).parent / "shim"), prepend=":")
    follow(page("slurm"), shell)


def test_the_page_about_ray(
    request: pytest.FixtureRequest, lab: None, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands print what the page shows."""
    required.plugin("ray")
    cluster = request.getfixturevalue("ray")
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_CLUSTER", cluster.address)
    follow(page("ray"), shell)
