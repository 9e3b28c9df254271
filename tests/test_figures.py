"""Figures that no backend of the notebook shows are kept all the same; and copied out, or said to be gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import project as project_of_tests
from tests.project import Project

MODULE = """\
def run(seed, silent=False, fail=False):
    import matplotlib

    if silent:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for title in ("First", "Second"):
        _, axes = plt.subplots()
        axes.plot([1, 2, seed])
        axes.set_title(title)
        plt.show()
    if fail:
        raise ValueError("after the figures")
    return {"main": 1.0}
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A repository whose experiment draws two figures."""
    project = project_of_tests.make(tmp_path_factory.mktemp("drawn") / "repository")
    project.write("drawn.py", MODULE)
    project.write("conf/experiment/drawn.yaml", "module: drawn\n")
    project.write("conf/params/shown.yaml", "silent: false\n")
    project.write("conf/params/silent.yaml", "silent: true\n")
    project.write("conf/params/failing.yaml", "silent: true\nfail: true\n")
    project.commit()
    return project


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("variant", "backend", "status"),
    [
        ("shown", None, "succeeded"),
        ("shown", "Agg", "succeeded"),
        ("silent", None, "succeeded"),
        ("failing", "Agg", "failed"),
    ],
)
def test_figures_are_kept_whatever_the_backend(
    drawn: Project, variant: str, backend: str | None, status: str
) -> None:
    """Once each: MPLBACKEND=Agg, as clusters have it, and matplotlib.use("Agg") show nothing themselves."""
    env = {} if backend is None else {"MPLBACKEND": backend}
    formats = "mitosis.figure_formats=[svg,png]"
    drawn.run("experiment=drawn", f"params={variant}", "seed=3", formats, **env)
    record = drawn.json("show", "@1")
    assert record["status"] == status
    names = {Path(figure).name for figure in record["figures"]}
    assert names == {f"{title}.{kind}" for title in ("First", "Second") for kind in ("svg", "png")}


@pytest.mark.kernel
def test_a_figure_that_is_gone_is_named(drawn: Project, tmp_path: Path) -> None:
    """With what to do about it; the others are not copied either."""
    assert drawn.run("experiment=drawn", "params=shown", "seed=4").returncode == 0
    record = drawn.json("show", "@1")
    (Path(record["folder"]) / "figures" / "Second.png").unlink()
    done = drawn.run("figures", "@1", "-o", str(tmp_path / "out"))
    assert done.returncode == 1 and "Second.png" in done.stderr
    assert f"mitosis reproduce {record['id']}" in done.stderr
    assert not (tmp_path / "out").exists()
