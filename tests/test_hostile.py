"""Input that means harm, or only means a lot: refused or harmless, in bounded memory and time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import project as projects
from tests.project import Project

pytestmark = pytest.mark.kernel

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31mred\x1b[0m\x1b]0;title\x07&amp;\u202e"


@pytest.mark.parametrize(
    "name",
    [
        "../../escape",
        "a/../../b",
        "/etc/x",
        "line\nbreak",
        "e\U0001f9ecmoji",
        "n" * 300,
        "-rf",
        ".hidden",
        "a b",
        "trash",
    ],
)
def test_names_of_experiments_stay_below_the_root(project: Project, name: str) -> None:
    """A name that is no plain name is refused; nothing appears, below the root or elsewhere."""
    before = {p for p in project.path.parent.rglob("*") if "trials" not in p.parts and ".git" not in p.parts}
    quoted = "'" + name.replace("'", "\\'") + "'"
    done = project.run(f"experiment={quoted}", "params=one")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    after = {p for p in project.path.parent.rglob("*") if "trials" not in p.parts and ".git" not in p.parts}
    assert {p for p in after - before if "__pycache__" not in p.parts} == set()
    assert project.json("ls") == []


@pytest.mark.parametrize("name", ["e\U0001f9ecmoji", "a b", "n" * 300, "trash", ".hidden"])
def test_names_of_experiments_that_exist(project: Project, name: str) -> None:
    """Where the file with that name is there, the name is refused all the same."""
    try:
        project.write(f"conf/experiment/{name}.yaml", "module: toy\n")
    except OSError:
        pytest.skip("no file can have that name here")
    project.commit()
    done = project.run(f"experiment='{name}'", "params=one")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert project.json("ls") == []


def test_values_of_parameters_are_shown_and_not_obeyed(project: Project) -> None:
    """HTML and escape sequences are text: in the page, in the terminal, in notes and tags."""
    project.write("conf/params/evil.yaml", json.dumps({"x": 1.0, "text": EVIL, EVIL: {"deep": EVIL}}))
    project.write("toy.py", "def run(seed, **kw):\n    print(kw['text'])\n    return {'main': kw['text']}\n")
    project.commit()
    done = project.run(
        "experiment=toy", "params=evil", "mitosis.tags=['<b>x</b>']", "mitosis.note='<i>n</i>'"
    )
    assert done.returncode == 0, done.stderr
    (trial,) = project.json("ls")
    assert trial["params"]["text"] == EVIL
    page = Path(trial["html"]).read_text()
    for tag in ("<script", "<img src=x", "<b>x", "<i>n", "\x1b", "\x07"):
        assert tag not in page
    for words in (["ls"], ["show", "@1"]):
        shown = project.run(*words).stdout
        assert "\x1b" not in shown and "\x07" not in shown


MUCH = """\
import sys


def run(seed, how):
    if how == "lines":
        line = "x" * 99 + "\\n"
        for _ in range(50):
            sys.stdout.write(line * 10_000)
    if how == "line":
        for _ in range(100):
            sys.stdout.write("y" * 1_000_000)
    if how == "metrics":
        return {"main": 0, **{f"metric {n}": n / 3 for n in range(10_000)}}
    if how.startswith("figures"):
        from IPython.display import display

        dot = (
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVO"
            "RK5CYII="
        )
        for _ in range(int(how[7:])):
            display({"image/png": dot}, raw=True)
    return {"main": seed}
"""


@pytest.fixture
def much(project: Project) -> Project:
    project.write("toy.py", MUCH)
    project.write("conf/params/much.yaml", "how: nothing\n")
    project.commit()
    return project


PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def run_within(project: Project, megabytes: int, how: str) -> None:
    """Run a trial whose launcher, and every process below it, needs less than so much memory at its peak.

    A small process starts it: a child counts what the process had that it was forked from.
    """
    command = [sys.executable, "-m", "mitosis", "experiment=toy", "params=much", f"params.how={how}"]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *command],
        cwd=project.path,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONWARNINGS": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    peak = int(done.stdout) / (1024 if sys.platform == "linux" else 1024**2)
    assert peak < megabytes, f"{peak:.0f} MB"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "size"), [("lines", 50_000_000), ("line", 100_000_000)])
def test_much_output(much: Project, how: str, size: int) -> None:
    """All of it is in the log; page and notebook hold the ends of it; the launcher holds no more."""
    run_within(much, 600, how)  # a line of 100 MB is held four times
    (trial,) = much.json("ls")
    assert (Path(trial["folder"]) / "output.log").stat().st_size == size
    assert Path(trial["notebook"]).stat().st_size < 2_000_000
    assert Path(trial["html"]).stat().st_size < 2_000_000


def test_many_metrics(much: Project) -> None:
    """Ten thousand metrics are recorded, and shown as the first of them with their number."""
    run_within(much, 400, "metrics")
    (trial,) = much.json("ls")
    assert len(trial["metrics"]) == 10_000
    assert Path(trial["html"]).stat().st_size < 3_000_000
    assert len(much.run("show", "@1").stdout.splitlines()) < 10_200


@pytest.mark.slow
def test_many_figures(much: Project) -> None:
    """Every figure is a file, however fast they come: what the launcher cannot take yet waits."""
    run_within(much, 300, "figures5000")
    trial = much.json("show", "@1")
    assert len(trial["figures"]) == 5000
    assert Path(trial["html"]).stat().st_size < 3_000_000
    cells = json.loads(Path(trial["notebook"]).read_text())["cells"]
    assert sum(len(cell.get("outputs", ())) for cell in cells) == 5001  # and the table of the metrics
    assert much.run("check").returncode == 0


@pytest.mark.parametrize(
    "name", ["with  two spaces", "q'u\"o`te$s", "näme \u65e5\u672c \U0001f9ec", "per%cent #hash ?q"]
)
def test_paths_of_repositories(tmp_path: Path, git_config: Path, name: str) -> None:
    """A repository may lie in any directory: a trial, a sweep and the reading commands work."""
    project = projects.make(tmp_path / name)
    assert project.run("experiment=toy", "params=one").returncode == 0
    done = project.run("-m", "experiment=toy", "params=two", "seed=1,2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(project.json("ls")) == 3 and project.run("check").returncode == 0
    assert project.status() == ""
