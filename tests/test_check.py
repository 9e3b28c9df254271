"""`mitosis check`: what it finds, what it brings in, and a store made anew from the folders."""

from __future__ import annotations

import shutil
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
