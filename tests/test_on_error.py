"""What a sweep does after its first failure, and what it says at its end."""

from __future__ import annotations

import pytest

from tests.project import Project

pytestmark = pytest.mark.kernel


def test_a_sweep_that_is_to_stop_begins_no_other_trial(project: Project) -> None:
    """With `stop` the rest is not begun, and the table says so; resumed, it runs what is missing."""
    done = project.run("-m", "experiment=toy", "params=one,broken,two", "seed=1", "mitosis.on_error=stop")
    assert done.returncode == 2
    assert [t["variant"] for t in project.json("ls")] == ["broken", "one"]
    table = done.stdout[done.stdout.rindex("\nsweep ") :].split()
    assert table[table.index("not") + 2] == "1" and table[table.index("failed") + 1] == "1"
    assert "report.html" in done.stdout[: done.stdout.rindex("\nsweep ")]
    again = project.run("resume")
    assert again.returncode == 2
    assert [t["variant"] for t in project.json("ls")] == ["broken", "broken", "one"]


def test_a_sweep_goes_on_unless_it_is_told_otherwise(project: Project) -> None:
    """The default is to go on; another word is refused by Hydra."""
    done = project.run("-m", "experiment=toy", "params=broken,one", "mitosis.on_error=continue")
    assert done.returncode == 2 and len(project.json("ls")) == 2
    assert project.run("experiment=toy", "params=one", "mitosis.on_error=perhaps").returncode == 1
