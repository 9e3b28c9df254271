"""What an experiment logs while it runs, what its figures plot, and where both are seen again."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from mitosis import series, stamp
from mitosis.folder import TrialFolder
from mitosis.kernel import figures
from mitosis.kernel import series as logging
from mitosis.notebook import curves
from tests import project as projects
from tests.project import Project

EXPERIMENT = '''\
"""Logs, plots, and forks a child that logs, too."""

import os

import matplotlib.pyplot as plt
import numpy as np
from mitosis import log


def run(seed: int, n: int = 5) -> dict:
    for step in range(n):
        log(step, loss=np.float32(1 / (step + 1)), val=None if step % 2 else float("nan"), word="x")
    if os.fork() == 0:
        log(n, loss=0)
        os._exit(0)
    os.wait()
    plt.plot([0, 1, 4], label="squares")
    plt.title("Squares")
    plt.show()
    _, (left, right) = plt.subplots(1, 2)
    left.imshow([[1, 2], [3, 4]])
    right.bar([1, 2], [3, 4])
    return {"main": seed}
'''


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one trial that logged and plotted; read only."""
    home = tmp_path_factory.mktemp("home")
    (home / "gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        project = projects.make(tmp_path_factory.mktemp("logged") / "a projéct")
        project.write("curves.py", EXPERIMENT)
        project.write("conf/experiment/curves.yaml", "module: curves\n")
        project.write("conf/params/five.yaml", "n: 5\n")
        project.commit()
        words = ["mitosis.figure_data=true", "mitosis.figure_formats=[png,svg,pdf]"]
        done = project.run("experiment=curves", "params=five", "seed=3", *words)
        assert done.returncode == 0, done.stderr
    return project


@pytest.mark.kernel
def test_a_series_is_kept_and_shown(logged: Project) -> None:
    """Every call of the trial and of its forked child is there, in JSON, in text and in the report."""
    shown = {s["name"]: s for s in logged.json("show", "@1", "--series")["series"]}
    assert set(shown) == {"loss", "val"}
    assert shown["loss"]["steps"] == [0, 1, 2, 3, 4, 5]
    assert shown["loss"]["values"][:2] == [1.0, 0.5] and shown["val"]["values"] == [None, None, None]
    said = logged.run("show", "--series", "@1").stdout
    assert "0 to 5" in said and "█" in said
    page = Path(logged.json("show", "@1")["html"]).read_text(encoding="utf-8")
    assert "Logged while it ran" in page and "<polyline" in page


@pytest.mark.kernel
def test_logging_is_neither_input_nor_output(logged: Project) -> None:
    """The files of the series and of the figures' numbers do not appear in the record of reads and writes."""
    trial = logged.json("show", "@1")
    assert trial["outputs"] == [] and trial["taints"] == []
    assert [i for i in trial["inputs"] if "series" in i["path"] or ".data" in i["path"]] == []
    notes = [n for n in trial["notes"] if n["kind"] == "not_logged"]
    assert [n["where"] for n in notes] == ["log(word=...)"]
    assert logged.run("check").returncode == 0


@pytest.mark.kernel
def test_every_picture_of_a_trial_carries_its_mark(logged: Project) -> None:
    """PNG, SVG and PDF in figures/, the report and the notebook all say which trial they are of."""
    trial = logged.json("show", "@1")
    mark = stamp.Origin(trial["id"], trial["commit"], trial["param_set"])
    pictures = [p for p in trial["figures"] if not p.endswith(".csv")]
    assert len(pictures) == 6
    for path in (*pictures, trial["html"], trial["notebook"]):
        assert stamp.origins(Path(path).read_bytes()) == (mark,), path


@pytest.mark.kernel
def test_what_is_plotted_is_kept_beside_the_picture(logged: Project) -> None:
    """One CSV an axes, called like the figure, listed with the figures; nothing is left of the way there."""
    trial = logged.json("show", "@1")
    tables = {Path(p).name: Path(p).read_text().splitlines() for p in trial["figures"] if p.endswith(".csv")}
    assert set(tables) == {"Squares.csv", "figure-02.1.csv", "figure-02.2.csv"}
    assert tables["Squares.csv"][:2] == ["kind,label,index,x,y,z,value", "line,squares,0,0.0,0,,"]
    assert tables["figure-02.1.csv"][-1].endswith(",3,1,1,,4")
    assert tables["figure-02.2.csv"][-1] == "bar,_container0,1,2.0,4,,"
    assert not (Path(trial["folder"]) / ".data").exists()


def test_outside_of_a_trial_the_call_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """The same line works in a plain script; a step that is no number is refused at once."""
    logging.log(3, loss=0.25, best=None)
    assert capsys.readouterr().out == "step 3: loss=0.25 best=null\n"
    with pytest.raises(TypeError, match="step must be a number"):
        logging.log("one", loss=1)  # type: ignore[arg-type]


def test_importing_log_imports_nothing_heavy() -> None:
    """An experiment that logs pays for the standard library alone."""
    script = "from mitosis import log\nimport sys\nprint('numpy' in sys.modules, 'json' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


def test_one_call_is_one_write(tmp_path: Path) -> None:
    """Twenty thousand calls are read back, each a line of its own; half a line is passed over."""
    logging.begin(str(tmp_path))
    try:
        for step in range(20_000):
            logging.log(step, loss=1.0)
    finally:
        logging.end()
    folder = TrialFolder(tmp_path)
    with (folder.series / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "val')
    (found,) = series.read(folder)
    assert len(found.values) == 20_000 and found.steps[-1] == 19_999
    thin = series.thinned(found, 1000)
    assert len(thin.values) <= 1100 and (thin.steps[0], thin.steps[-1]) == (0, 19_999)


def test_numbers_of_any_size_are_kept_and_shown(tmp_path: Path) -> None:
    """Whose sum or difference no float holds, and integers of five thousand digits."""
    assert len(series.bars([1e308] * 40)) == 20
    assert series.bars([-1e308, 1e308]) == "▁█"
    logging.begin(str(tmp_path))
    try:
        logging.log(1, x=10**5000, y=1)
        with pytest.raises(TypeError, match="step must be a number"):
            logging.log(10**5000, y=1)
    finally:
        logging.end()
    (found,) = series.read(TrialFolder(tmp_path))
    assert (found.name, found.values) == ("y", (1.0,))


def test_curves_break_where_a_value_is_not_finite() -> None:
    """nan is a gap, one point is a dot, a constant is a level line, and nothing finite has no line."""
    (one,) = curves.curves([series.Series("a", (0, 1, 2, 3), (1.0, math.nan, 2.0, 3.0))])
    assert len(one.lines) == 2 and one.lines[0] == "0.0,120.0 0.0,120.0"
    (level,) = curves.curves([series.Series("b", (0, 1), (2.0, 2.0))])
    assert level.lines == ("0.0,120.0 600.0,120.0",)
    assert curves.curves([series.Series("c", (0,), (math.inf,))])[0].lines == ()
    assert series.bars([1.0, math.nan, 3.0]) == "▁ █" and series.bars([math.nan]) == ""


def test_what_axes_plot_is_listed_in_long_form() -> None:
    """Lines in the plane and in space, points with colours, meshes and filled areas each have their rows."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure()
    plane, space = figure.add_subplot(121), figure.add_subplot(122, projection="3d")
    plane.scatter([1, 2], [3, 4], c=[5, 6], label="dots")
    plane.pcolormesh([[1, 2], [3, 4]])
    plane.fill_between([0, 1], [0, 0], [1, 1])
    plane.barh([1], [7])
    space.plot([1, 2], [3, 4], [5, 6])
    space.scatter([1, 2], [3, 4], [5, 6])
    rows = list(figures.plotted(plane))
    assert ("points", "dots", 1, 2.0, 4.0, "", 6) in rows
    assert [r[3:] for r in rows if r[0] == "mesh"] == [
        (0, 0, "", 1),
        (1, 0, "", 2),
        (0, 1, "", 3),
        (1, 1, "", 4),
    ]
    assert {r[0] for r in rows} == {"points", "mesh", "area", "bar"}
    assert next(r for r in rows if r[0] == "bar")[3:5] == (7, 1.0)
    assert [r[0:1] + r[3:6] for r in figures.plotted(space)] == [
        ("line", 1, 3, 5), ("line", 2, 4, 6), ("points", 1, 3, 5), ("points", 2, 4, 6),
    ]  # fmt: skip
