"""Running only what is missing: what stands for what, and why the rest runs."""

from __future__ import annotations

import os
import signal

import pytest

from tests.project import Project

pytestmark = pytest.mark.kernel

MISSING = "mitosis.rerun=missing"


def test_a_succeeded_trial_stands_for_the_same_recipe(project: Project) -> None:
    """The second command runs nothing, names the trial that stands, and exits 0."""
    project.run("experiment=toy", "params=one", "seed=1")
    (first,) = project.json("ls")
    again = project.run("experiment=toy", "params=one", "seed=1", MISSING)
    assert again.returncode == 0 and f"{first['id'][:7]} stands for" in again.stdout
    assert len(project.json("ls")) == 1


def test_each_trial_that_runs_says_why(project: Project) -> None:
    """New parameters, a new seed, changed code and changed data are each named."""
    project.write("data.csv", "1\n")
    project.write("toy.py", "def run(seed, x):\n    return {'main': x + len(open('data.csv').read())}\n")
    project.commit()
    arguments = ["experiment=toy", "params=one", MISSING]
    assert "(new parameters)" in project.run(*arguments).stdout
    assert "(new seed)" in project.run(*arguments, "seed=1").stdout
    project.write("toy.md", "words\n")
    project.write("lib/unrelated.py", "x = 1\n")
    project.commit()
    assert "stands for" in project.run(*arguments).stdout
    project.write("data.csv", "12\n")
    project.commit()
    assert "(data.csv changed)" in project.run(*arguments).stdout
    project.write("toy.py", "def run(seed, x):\n    return {'main': -x}\n")
    project.commit()
    assert "(toy.py changed)" in project.run(*arguments).stdout
    project.write("toy/__init__.py", "def run(seed, x):\n    return {'main': 2 * x}\n")
    project.commit()
    assert "(toy/__init__.py is new)" in project.run(*arguments).stdout


def test_a_failed_trial_stands_for_nothing(project: Project) -> None:
    """What has not succeeded runs again."""
    assert project.run("experiment=toy", "params=broken").returncode == 2
    again = project.run("experiment=toy", "params=broken", MISSING)
    assert again.returncode == 2 and "has not succeeded" in again.stdout


def test_a_sweep_runs_only_what_is_missing(project: Project) -> None:
    """Jobs with an earlier trial are counted as stood for; the others run; exit 0."""
    project.run("-m", "experiment=toy", "params=one", "seed=0,1")
    done = project.run("-m", "experiment=toy", "params=one,two", "seed=0,1", MISSING)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stands for") == 2 and "stood for" in done.stdout
    assert len(project.json("ls")) == 4


def test_a_killed_sweep_goes_on_under_its_own_id(project: Project) -> None:
    """After SIGKILL of the driver, `resume` runs the rest; every job has succeeded exactly once."""
    project.write(
        "toy.py",
        "import os, time\n\n"
        "def run(seed, x):\n"
        "    print('begun', seed, flush=True)\n"
        "    while seed == 2 and not os.path.exists('/tmp/' + os.environ['GO']):\n"
        "        time.sleep(0.05)\n"
        "    return {'main': seed}\n",
    )
    project.commit()
    go = f"mitosis-test-{os.getpid()}"
    process = project.start("-m", "experiment=toy", "params=one", "seed=range(0,4)", GO=go)
    assert process.stdout is not None
    for line in process.stdout:
        if "begun 2" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    (sweep,) = {t["sweep"] for t in project.json("ls")}
    done = project.run("resume", GO="..")  # a path that exists
    assert done.returncode == 0, done.stderr + done.stdout
    trials = project.json("ls", "--limit", "0")
    assert {t["sweep"] for t in trials} == {sweep}
    assert sorted(t["seed"] for t in trials if t["status"] == "succeeded") == [0, 1, 2, 3]
    assert [t["seed"] for t in trials if t["status"] != "succeeded"] == [2]
