"""Odd questions to a store, and odd places for the answers: each ends in a line or two."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project, make

MODULE = """\
def run(seed, x=None):
    if seed == 1:
        raise ValueError("clear the screen \\x1b[2J and go on")
    return {"main": seed, "loss": 0.5}
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose parameter is a mapping, with a trial that succeeded and one that failed."""
    project = make(tmp_path_factory.mktemp("odd") / "p")
    project.write("toy.py", MODULE)
    project.write("conf/params/deep.yaml", "x: {a: 1, b: [2, 3]}\n")
    project.commit("odd")
    assert project.run("-m", "experiment=toy", "params=deep", "seed=0,1").returncode == 2
    return project


@pytest.mark.kernel
def test_a_mapping_is_grouped_by(used: Project) -> None:
    """A parameter that is a mapping makes a group like any other value."""
    done = used.run("ls", "--group-by", "params.x")
    assert done.returncode == 0 and '{"a": 1' in done.stdout, done.stderr


@pytest.mark.kernel
def test_what_an_exception_says_drives_no_terminal(used: Project) -> None:
    """Control characters of a message are shown as what they are not: commands."""
    failed = used.json("ls", "--status", "failed")[0]["id"]
    assert "\x1b" not in used.run("show", failed).stdout


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ls", "--limit", "9223372036854775808"), "--limit"),
        (("ls", "--since", "99999999999999d"), "--since"),
        (("ls", "--since", "²d"), "--since"),
        (("compare", "--metric", "nope"), "there are: main, loss"),
        (("tag", "@1", "+a b"), "cannot be a tag"),
    ],
)
def test_odd_questions_are_refused(used: Project, words: tuple[str, ...], said: str) -> None:
    """In two lines, with what there is."""
    done = used.run(*words)
    assert done.returncode == 1 and said in done.stderr
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.kernel
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [("ls",), ("ls", "--json"), ("show", "@1")])
def test_an_answer_that_cannot_be_written(used: Project, words: tuple[str, ...]) -> None:
    """A full disk behind the pipe is told in two lines, not as a fault of ours."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mitosis", *words],
            cwd=used.path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1 and "could not be written" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.kernel
def test_folders_without_a_store_are_damage(used: Project, tmp_path: Path) -> None:
    """`check` names them and the way back; it is no clean answer."""
    copy = tmp_path / "copy"
    shutil.copytree(used.path / "trials", copy)
    (copy / "mitosis.db").unlink()
    done = used.run("check", "--store", str(copy / "mitosis.db"))
    assert done.returncode == 2
    assert "2 folders of trials" in done.stdout and "--rebuild" in done.stdout
