"""What an experiment does to its own kernel, and to the result it gives: each trial has a clear end."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from mitosis import folder
from mitosis.kernel import contract, guard
from tests import project as project_of_tests
from tests.project import Project

ODD = """\
import collections.abc
import os
import signal
import sys


class Raises(collections.abc.Mapping):
    def __getitem__(self, key):
        raise RuntimeError("not to be read")

    def __iter__(self):
        return iter(["main"])

    def __len__(self):
        return 1


class Unshowable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Bad:
    def __init__(self):
        raise ValueError("not so")


def spoil():
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin = sys.stdout = sys.stderr = None
    sys.path[:] = []
    sys.modules.clear()


def talk():
    sys.stdout.buffer.write("caf\\u00e9".encode()[:4])
    sys.stdout.buffer.write("caf\\u00e9".encode()[4:] + b" \\xff\\n")
    try:
        input("name? ")
    except EOFError as error:
        print("EOF:", error)


def mute():
    def send(*_, **__):
        raise RuntimeError("no word")
    get_ipython().kernel.session.send = send
    sys.stdout = sys.__stdout__


def run(seed, what="", **others):
    if what == "str":
        raise Unshowable()
    from IPython import get_ipython
    globals()["get_ipython"] = get_ipython
    given = {"big": 10**5000, "half": "\\ud800"}
    if what == "mapping":
        return Raises()
    if what in ("spoil", "talk", "mute"):
        globals()[what]()
    if what == "die":
        os.kill(os.getpid(), 9)
    if what == "nested":
        get_ipython().run_cell("1 / 0")
    return {"main": given.get(what, 1)}
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A repository with the experiment `odd`."""
    project = project_of_tests.make(tmp_path_factory.mktemp("odd") / "repository")
    project.write("odd.py", ODD)
    project.write("conf/experiment/odd.yaml", "module: odd\n")
    project.write("conf/experiment/nowhere.yaml", "module: nope\n")
    for what in ("spoil", "talk", "mute", "die", "nested", "mapping", "str", "big", "half"):
        project.write(f"conf/params/{what}.yaml", f"what: {what}\n")
    project.write("conf/params/nope.yaml", "o:\n  _target_: nope.Nope\n")
    project.write("conf/params/bad.yaml", "o:\n  p:\n    _target_: odd.Bad\n")
    project.commit()
    return project


def ended(project: Project, what: str, experiment: str = "odd") -> tuple[dict[str, Any], str]:
    """The record of the trial, and what was printed."""
    done = project.run(f"experiment={experiment}", f"params={what}")
    return project.json("show", "@1"), done.stdout + done.stderr


@pytest.mark.kernel
def test_what_the_notebook_needs_is_put_back_after_the_call(odd: Project) -> None:
    """Streams, modules, path, directory and the interrupt: the trial succeeds, and each is a note."""
    record, _ = ended(odd, "spoil")
    assert record["status"] == "succeeded" and record["main"] == 1
    where = {note["where"] for note in record["notes"] if note["kind"] == "put_back"}
    assert {"sys.stdout", "sys.stderr", "sys.stdin", "sys.modules", "sys.path"} < where and len(where) == 7


@pytest.mark.kernel
@pytest.mark.slow
def test_a_kernel_that_never_answers_is_ended(odd: Project) -> None:
    """Without a time limit, too; nothing was written, so the trial died."""
    record, said = ended(odd, "mute")
    assert record["status"] == "died" and "did not answer" in said
    assert not (Path(record["folder"]) / folder.RETURNED).exists()


@pytest.mark.kernel
def test_a_cell_that_the_experiment_runs_itself_is_not_the_end_of_the_call(odd: Project) -> None:
    """Its error is shown, and is the experiment's to handle."""
    record, _ = ended(odd, "nested")
    assert record["status"] == "succeeded"


@pytest.mark.kernel
def test_a_dead_kernel_is_told_once(odd: Project) -> None:
    """In our own line, not in nbclient's."""
    record, said = ended(odd, "die")
    assert record["status"] == "died" and "SIGKILL" in said
    assert "traitlets" not in said and "Kernel died" not in said


@pytest.mark.kernel
def test_streams_are_those_of_a_program_without_a_terminal(odd: Project) -> None:
    """Bytes appear as UTF-8, a character that was cut in two as well; input() finds the end."""
    record, said = ended(odd, "talk")
    assert record["status"] == "succeeded", said
    assert "café \ufffd\n" in said and "name? EOF: nobody can answer" in said


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("big", "'main' is an int, which cannot be recorded"),
        ("half", "'main' is a str, which cannot be recorded"),
        ("mapping", "cannot be read: RuntimeError: not to be read"),
    ],
)
def test_a_result_that_cannot_be_recorded_ends_in_one_line(odd: Project, what: str, message: str) -> None:
    """Without a traceback, and without an input: files of ours are never inputs."""
    record, said = ended(odd, what)
    assert record["status"] == "failed" and message in said and "Traceback" not in said
    assert record["inputs"] == []


@pytest.mark.kernel
def test_an_exception_without_a_text_is_still_the_experiments(odd: Project) -> None:
    """Its own name and line are told, not those of what failed to show it."""
    record, said = ended(odd, "str")
    assert record["error"]["kind"].endswith("Unshowable") and "raise Unshowable()" in said


@pytest.mark.kernel
def test_an_object_that_cannot_be_made_names_its_key(odd: Project) -> None:
    """Key, target and reason; of a constructor that raises its own frames besides, none of hydra's."""
    _, said = ended(odd, "nope")
    assert "params.o _target_=nope.Nope cannot be made: ModuleNotFoundError" in said
    assert "Traceback" not in said
    _, said = ended(odd, "bad")
    assert "params.o.p _target_=odd.Bad" in said and 'raise ValueError("not so")' in said
    assert "_instantiate2" not in said


@pytest.mark.kernel
def test_a_module_that_is_nowhere_names_its_key_and_the_places(odd: Project) -> None:
    """Where it was looked for, and what names it."""
    _, said = ended(odd, "one", "nowhere")
    assert "experiment.module" in said and "nope:run" in said and str(odd.path) in said


def test_both_sides_call_the_sign_of_a_returned_call_the_same() -> None:
    """The guard may import nothing of the launcher's."""
    assert guard.RETURNED == folder.RETURNED


def test_a_metric_whose_name_is_half_a_character_can_be_written() -> None:
    """It is spelled out."""
    reading = contract.read({"main": 1, "\ud800": 2, "metrics": {"\udfff": 3}})
    assert reading.metrics == {ast.literal_eval(r"'\\ud800'"): 2.0, ast.literal_eval(r"'\\udfff'"): 3.0}
