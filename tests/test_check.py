"""`mitosis check`: what it finds, what it brings in, and a store made anew from the folders."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import project as projects
from tests.project import Project

pytestmark = pytest.mark.kernel


@pytest.fixture
def used(project: Project) -> Project:
    """A project with a sweep of two trials, one of which failed."""
    project.run("-m", "experiment=toy", "params=one,broken", "seed=4")
    return project


def test_an_untouched_record_is_clean(used: Project) -> None:
    """Every file of every trial has the digest that was recorded; exit 0."""
    found = used.json("check")
    assert found["damage"] == [] and found["trials"] == 2 and found["files"] == 7


def test_damage_is_found_and_named(used: Project) -> None:
    """A changed page, a lost result and a lost folder are each named; exit 2."""
    first, second = (Path(t["folder"]) for t in used.json("ls"))
    with (first / "report.html").open("a") as page:
        page.write("x")
    (first / "output.log").unlink()
    shutil.rmtree(second)
    done = used.run("check")
    assert done.returncode == 2
    for words in ("file_damaged", "report.html", "file_gone", "output.log", "folder_gone", str(second)):
        assert words in done.stdout


def test_what_cannot_be_read_is_named(used: Project) -> None:
    """A document that is a directory, and a word of the trash that is no JSON of ours; exit 2, no fault."""
    first, second = (Path(t["folder"]) for t in used.json("ls"))
    (first / "trial.json").unlink()
    (first / "trial.json").mkdir()
    (first / "tags.json").mkdir()
    assert used.run("rm", second.name, "--yes").returncode == 0
    (used.path / "trials/trash/toy" / second.name / "removed.json").write_text('{"removed_at": "garbage"}')
    done = used.run("check")
    assert done.returncode == 2 and "file_damaged" in done.stdout, done.stdout + done.stderr
    assert used.run("check", "--rebuild").returncode in (0, 2)
    assert used.run("ls").returncode == 0


def test_a_merge_that_was_cut_off_is_done_again(used: Project, tmp_path: Path) -> None:
    """What it left lies beside what the next one copies."""
    other = projects.make(tmp_path / "other")
    other.run("experiment=toy", "params=two", "seed=9")
    (trial,) = other.json("ls")
    (used.path / "trials/toy" / f".new-{trial['id']}").mkdir()
    assert used.run("check", "--merge", str(other.path / "trials")).returncode == 0
    assert trial["id"] in {t["id"] for t in used.json("ls", "--all-projects")}


def test_the_store_is_made_anew_from_the_folders(used: Project) -> None:
    """After the database is lost, `--rebuild` gives the same answers."""
    before, shown = used.json("ls"), used.json("show", "@1")
    (used.path / "trials" / "mitosis.db").unlink()
    assert used.json("ls") == []
    assert used.run("check", "--rebuild").returncode == 0
    assert used.json("ls") == before
    again = used.json("show", "@1")
    assert {k for k in shown if shown[k] != again[k]} <= {"environment"}
    assert used.run("experiment=toy", "params=one").returncode == 0  # locks are those of before


def test_a_store_made_anew_knows_the_sweeps(used: Project, tmp_path: Path) -> None:
    """Command, size, and which trials stand for jobs; it goes on under its own id; merged ones as well."""
    more = ("-m", "experiment=toy", "params=one,two,broken", "seed=4", "mitosis.rerun=missing")
    assert used.run(*more).returncode == 2
    sweep = used.json("ls")[0]["sweep"]
    before = used.json("show", sweep)
    (used.path / "trials" / "mitosis.db").unlink()
    assert used.run("check", "--rebuild").returncode == 0
    assert used.json("show", sweep) == before and before["size"] == 3
    done = used.run("resume", sweep)
    assert done.returncode == 2 and f"sweep {sweep}" in done.stdout, done.stdout + done.stderr
    other = projects.make(tmp_path / "other")
    merge = ("check", "--merge", str(used.path / "trials"))
    assert other.run(*merge).returncode == 1  # there is no store to merge into
    assert other.run("experiment=toy", "params=one").returncode == 0
    assert other.run(*merge).returncode == 0
    assert other.json("show", sweep)["size"] == 3


def test_another_machines_trials_are_brought_in(used: Project, tmp_path: Path) -> None:
    """`--merge` copies what is new, once."""
    other = projects.make(tmp_path / "other")
    other.run("experiment=toy", "params=two", "seed=9")
    for _ in range(2):
        assert used.run("check", "--merge", str(other.path / "trials")).returncode == 0
        trials = used.json("ls", "--all-projects")
        assert len(trials) == 3 and sum(t["seed"] == 9 for t in trials) == 1


def test_a_commit_that_git_lost_is_found(used: Project) -> None:
    """A record whose code is gone is no record: the commit is named."""
    (trial, *_) = used.json("ls")
    shutil.rmtree(used.path / ".git")
    used.git("init", "--quiet")
    used.commit("another history")
    done = used.run("check", "--store", str(used.path / "trials" / "mitosis.db"))
    assert done.returncode == 2 and "commit_gone" in done.stdout and trial["commit"] in done.stdout


def test_a_commit_that_lost_its_ref_gets_it_again(used: Project, tmp_path: Path) -> None:
    """So that `git gc` leaves it alone; also where the repository was moved, and of merged trials."""
    (commit,) = {trial["commit"] for trial in used.json("ls")}
    ref = f"refs/mitosis/kept/{commit}"
    used.git("update-ref", "-d", ref)
    done = used.run("check")
    assert done.returncode == 0 and "gave 1 commits the refs again" in done.stdout, done.stdout
    assert used.git("rev-parse", ref) == commit
    assert used.json("check")["refs"] == 0
    clone = Project(tmp_path / "clone")
    used.git("clone", "--quiet", str(used.path), str(clone.path))
    used.git("remote", "add", "origin", str(used.path))
    clone.write("more.txt", "more")
    theirs = clone.commit("more")
    assert clone.run("experiment=toy", "params=one").returncode == 0
    assert used.run("experiment=toy", "params=one").returncode == 0
    done = used.run("check", "--merge", str(clone.path / "trials"))
    assert done.returncode == 2 and "commit_gone" in done.stdout and theirs in done.stdout, done.stdout


WAITING = """\
import os
import time


def run(seed, x):
    print("begun", flush=True)
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.02)
    return {"main": x}
"""


@pytest.fixture
def waiting(project: Project, tmp_path: Path) -> tuple[Project, subprocess.Popen[str], Path]:
    """A project whose only trial runs until the file is there, its launcher, and that file."""
    project.write("toy.py", WAITING)
    project.commit()
    launcher = project.start("experiment=toy", "params=one", GO=str(tmp_path / "go"), PYTHONUNBUFFERED="1")
    assert launcher.stdout is not None
    assert any("begun" in line for line in launcher.stdout)
    return project, launcher, tmp_path / "go"


def test_a_trial_whose_row_was_lost_with_its_launcher_is_closed(
    waiting: tuple[Project, subprocess.Popen[str], Path],
) -> None:
    """A power cut may take launcher and row: the folder is brought in as lost, with a page, and is whole."""
    project, launcher, _ = waiting
    launcher.kill()
    launcher.communicate(timeout=60)
    (project.path / "trials" / "mitosis.db").unlink()
    done = project.run("check", "--rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    (trial,) = project.json("ls")
    assert trial["status"] == "lost" and "the launcher vanished" in Path(trial["html"]).read_text()
    assert project.run("check").returncode == 0


def test_a_store_made_anew_while_a_trial_runs(
    waiting: tuple[Project, subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    """A trial that runs is no lost one, nor is it merged; its launcher ends it in the new store."""
    project, launcher, go = waiting
    other = projects.make(tmp_path / "other")
    assert other.run("experiment=toy", "params=one").returncode == 0
    merged = other.run("check", "--merge", str(project.path / "trials"))
    assert merged.returncode == 0 and "left out 1 that have not ended" in merged.stderr, merged.stderr
    (project.path / "trials" / "mitosis.db").unlink()
    assert project.run("check", "--rebuild").returncode == 0
    assert [t["status"] for t in project.json("ls")] == ["running"]
    go.touch()
    launcher.communicate(timeout=60)
    assert launcher.returncode == 0
    assert [t["status"] for t in project.json("ls")] == ["succeeded"]
    assert project.run("check").returncode == 0
