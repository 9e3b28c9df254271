"""The process that makes pages: the same page as without it, and nothing is lost where it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from mitosis.folder import TrialFolder
from mitosis.notebook import pages
from mitosis.trial import Trial
from tests.processes import Handles, children
from tests.test_report import PNG, ended, make, notebook, shown, stream

pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="one processor alone: the launcher makes its pages itself"
)


@pytest.fixture
def process() -> Iterator[int]:
    """The number of the process."""
    before = children(os.getpid())
    pages.prestart()
    (pid,) = children(os.getpid()) - before
    yield pid
    pages.stop()


def trial(folder: Path) -> Trial:
    """A trial whose notebook shows a figure and holds what JSON and HTML might stumble over."""
    folder.mkdir()
    found = Trial(make(folder, params={"a": float("nan")}), ended(main=float("inf")))
    nb = notebook(found.spec, shown("My figure", png=PNG), stream("<b>naïve 数据</b>\n"))
    nbformat.write(nb, TrialFolder(folder).notebook)
    return found


def test_the_process_makes_the_page_that_the_launcher_would_make(process: int, tmp_path: Path) -> None:
    """Page and figures are the same to the byte."""
    one = trial(tmp_path / "one")
    names = pages.make(one, ["png"])
    page = TrialFolder(one.spec.folder).html
    by_process = page.read_bytes()
    pages.stop()
    assert pages.make(one, ["png"]) == names == ("My-figure.png",)
    assert page.read_bytes() == by_process


def test_a_killed_process_costs_no_page(process: int, tmp_path: Path) -> None:
    """Where it has ended the launcher makes the page, and goes on so."""
    os.kill(process, signal.SIGKILL)
    for name in ("one", "two"):
        found = trial(tmp_path / name)
        assert pages.make(found, ["png"]) == ("My-figure.png",)
        assert TrialFolder(found.spec.folder).html.stat().st_size > 1000


def test_an_odd_notebook_costs_the_next_trial_nothing(process: int, tmp_path: Path) -> None:
    """What is wrong with it is said, and the process goes on."""
    odd, good = trial(tmp_path / "odd"), trial(tmp_path / "good")
    TrialFolder(odd.spec.folder).notebook.write_text("no notebook")
    with pytest.raises(ValueError, match="not appear to be JSON"):
        pages.make(odd, ["png"])
    assert pages.make(good, ["png"]) == ("My-figure.png",)
    assert process in children(os.getpid())


@pytest.mark.parametrize("end", ["killed", "returned"])
def test_the_process_ends_with_its_launcher(end: str) -> None:
    """However the launcher ends."""
    code = (
        "import sys; from mitosis.notebook import pages; pages.prestart(); print('up', flush=True); input()"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with launcher:
        assert launcher.stdout is not None and launcher.stdout.readline() == b"up\n"
        handles = Handles(children(launcher.pid))
        if end == "killed":
            launcher.kill()
        else:
            launcher.communicate(b"\n")
        assert len(handles.names) == 1 and handles.gone() == []
        handles.close()
