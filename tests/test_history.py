"""Commits in words."""

from __future__ import annotations

from pathlib import Path

from mitosis.capture import history
from tests.conftest import Repository


def test_a_commit_is_told(repository: Repository) -> None:
    """Author, date and the first line of the message, hostile letters included."""
    commit = repository.commit('say "ä" & <b>\n\nand more')
    told = history.told(repository.path, commit)
    assert told is not None
    assert (told.commit, told.author, told.summary) == (commit, "Ada Lovelace", 'say "ä" & <b>')
    assert told.at[:2] == "20"


def test_what_is_not_there_is_not_told(repository: Repository, tmp_path: Path) -> None:
    """A commit that git has lost, and a directory that is no repository, give nothing."""
    assert history.told(repository.path, "0" * 40) is None
    assert history.told(tmp_path / "nowhere", "0" * 40) is None
