"""What the gate refuses because it would silently do nothing, or write elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mitosis import admission
from mitosis.errors import ConfigurationRefused
from mitosis.settings import Settings
from tests.project import Project, make


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"timeout": 0.0}, "mitosis.timeout=0"),
        ({"timeout": float("nan")}, "mitosis.timeout=nan"),
        ({"timeout": float("inf")}, "mitosis.timeout=inf"),
        ({"grace": -1.0}, "mitosis.grace=-1"),
        ({"patience": float("nan")}, "mitosis.patience=nan"),
        ({"snapshot_max_file": -1}, "mitosis.snapshot_max_file=-1"),
        ({"figure_formats": []}, "mitosis.figure_formats"),
        ({"figure_formats": ["bmp"]}, "bmp"),
        ({"source_roots": ["lib"]}, "mitosis.source_roots names lib"),
        ({"share": ["nope"]}, "mitosis.share names nope"),
        ({"tags": ["good", {"a": "b"}]}, "mitosis.tags holds {'a': 'b'}"),
        ({"resume": "abc"}, "mitosis.resume=abc"),
        ({"project": ""}, "mitosis.project is empty"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    """Each names its key, and what to write instead."""
    with pytest.raises(ConfigurationRefused) as caught:
        admission.check(tmp_path, Settings(**given), sweep=False)
    assert words in caught.value.what and caught.value.todo


def test_the_defaults_are_admitted(tmp_path: Path) -> None:
    """And a sweep may be one that goes on."""
    admission.check(tmp_path, Settings(), sweep=False)
    admission.check(tmp_path, Settings(resume="abc"), sweep=True)


@pytest.mark.parametrize(
    "words",
    [
        ("hydra.run.dir=/tmp/elsewhere",),
        ("-m", "hydra.sweep.dir=elsewhere"),
        ("-m", "hydra.sweep.subdir=../../../../escape${hydra.job.num}"),
        ("hydra.output_subdir=/tmp/elsewhere",),
        ("hydra.job_logging.handlers.file.filename=here.log",),
        ("+mitosis.timout=3",),
        ("+experiment.modul=x",),
        ("mitosis.redefine=[params/nix]",),
        ("mitosis.tags=[{a:b}]",),
    ],
)
def test_nothing_is_written_elsewhere_and_no_key_is_mistyped(
    project: Project, words: tuple[str, ...]
) -> None:
    """The command refuses in two lines that name the key; repository and store are as they were."""
    done = project.run(*words, "experiment=toy", "params=one")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2 and "Traceback" not in done.stderr
    assert words[-1].partition("=")[0].lstrip("+") in done.stderr
    assert project.status() == ""
    assert project.json("ls") == []


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose variant `one` was used and then changed, and that holds files that are no YAML."""
    project = make(tmp_path_factory.mktemp("changed") / "p")
    assert project.run("experiment=toy", "params=one").returncode == 0
    project.write("conf/params/one.yaml", "x: 3.0\n")
    project.write("conf/params/bad.yaml", "x: [1\n")
    project.write("conf/experiment/misspelt.yaml", "modul: toy\n")
    project.write("conf/experiment/unlisted.yaml", "module: toy\ninputs: data.csv\n")
    (project.path / "conf/params/latin.yaml").write_bytes(b"x: \xff\n")
    project.commit("changed")
    return project


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-m", "params=two,one", "seed=0,1"), "variant params/one of toy is locked to other content"),
        (("params=bad",), "conf/params/bad.yaml, line 2 is no YAML"),
        (("-m", "params=two,bad"), "conf/params/bad.yaml, line 2 is no YAML"),
        (("params=latin",), "conf/params/latin.yaml is no text in UTF-8"),
        (("-m", "params=latin,two"), "conf/params/latin.yaml is no text in UTF-8"),
        (("-m", "params=two", "seed=range(0,0)"), "the sweep has no job"),
        (("experiment=misspelt", "params=two"), "did you mean module?"),
        (("experiment=unlisted", "params=two"), "conf/experiment/unlisted.yaml: inputs is a list"),
        (("params=two", "seed=1,2"), "run a sweep over it: mitosis -m"),
    ],
)
def test_a_sweep_is_refused_as_a_whole(changed: Project, words: tuple[str, ...], said: str) -> None:
    """What is wrong with one of its jobs is said once, of the file to edit, and no sweep was begun."""
    named = any(word.startswith("experiment=") for word in words)
    done = changed.run(*words, *([] if named else ["experiment=toy"]))
    assert done.returncode == 1 and "not begun" not in done.stdout
    assert said in done.stderr and "checkouts" not in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert len(changed.json("ls")) == 1
    assert "no sweep" in changed.run("resume").stderr


def test_a_root_with_other_files_is_refused(project: Project, tmp_path: Path) -> None:
    """What lies in the root is never an input: data that was there before would be read unseen."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1")
    done = project.run("experiment=toy", "params=one", f"mitosis.root={tmp_path / 'data'}")
    assert done.returncode == 1 and "holds other files" in done.stderr
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["a.csv"]
