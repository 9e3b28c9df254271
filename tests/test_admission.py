"""What the gate refuses because it would silently do nothing, or write elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mitosis import admission
from mitosis.errors import ConfigurationRefused
from mitosis.settings import Settings
from tests.project import Project


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"timeout": 0.0}, "mitosis.timeout=0"),
        ({"timeout": float("nan")}, "mitosis.timeout=nan"),
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
