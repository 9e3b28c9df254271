"""What Hydra's grammar makes of the command line, and says unintelligibly, is refused in two lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from mitosis.app import objective, refusals
from mitosis.errors import ConfigurationRefused
from mitosis.trial import Status


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("params=1", "Hydra reads it as a number"),
        ("params=nan", "Hydra reads it as a number"),
        ("params=true,fast", "Hydra reads it as a number"),
        ("params=null", "Hydra reads it as a number"),
        ("params=[fast,1]", "Hydra reads it as a number"),
        ("params=range(1,3)", "Hydra reads it as a number"),
        ("params=größe,fast", "quote it: \"params='größe','fast'\""),
        ("params.x=ü", "quote it: \"params.x='ü'\""),
        ("params.größe=1", "give that name in a YAML file"),
    ],
)
def test_words_that_hydra_takes_for_something_else(tmp_path: Path, word: str, said: str) -> None:
    """A name of an option that reads as a number, and letters beyond ASCII: both say how to write it."""
    (tmp_path / "params").mkdir()
    with pytest.raises(ConfigurationRefused) as refused:
        refusals.check_choices([word], tmp_path)
    assert said in str(refused.value) and len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    "word",
    [
        "params='1'",
        "params=10x",
        "params=a,b",
        "params.x=1",
        "~params",
        "seed=1",
        "+x=nan",
        'params="ü"',
        "a=[",
    ],
)
def test_words_that_are_left_to_hydra(tmp_path: Path, word: str) -> None:
    """Options that are texts, values of every kind, and what Hydra itself refuses well."""
    (tmp_path / "params").mkdir()
    refusals.check_choices(["-m", word], tmp_path)


@pytest.mark.parametrize(
    ("message", "todo"),
    [
        ("In 'config': Could not load 'seed'.", "make {conf}/seed.yaml"),
        ("In 'config': Could not find 'experiment/walk'", "make {conf}/experiment/walk.yaml"),
        ("Sweep parameters 'seed=range(0,3)' requires --multirun", "mitosis -m"),
    ],
)
def test_what_to_do_where_hydra_names_no_way(tmp_path: Path, message: str, todo: str) -> None:
    """A file that is missing is named with its path; a sweep without -m with the flag."""
    refused = refusals._refusal(ValueError(message), tmp_path, lambda path: path)
    assert todo.format(conf=tmp_path) in str(refused) and "HYDRA_FULL_ERROR" not in str(refused)


def test_a_sweeper_is_told_of_numbers_alone() -> None:
    """An integer that no float holds, a nan and a text are no objectives."""
    for main in (10**400, float("nan"), "text", True, None):
        assert objective.value(Status.SUCCEEDED, main, {}, ["main"]) is None
    assert objective.value(Status.SUCCEEDED, 3, {}, ["main"]) == 3.0
