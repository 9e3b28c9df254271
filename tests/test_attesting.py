"""What is found out about a trial later is kept twice: in the store, and in its folder."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mitosis import attesting, audit
from mitosis.errors import TrialNotFound
from mitosis.folder import TrialFolder
from mitosis.store import Store
from mitosis.trial import Attestation, Trial, plain
from tests.store_values import ENVIRONMENT, trial_outcome, trial_spec


def finished(store: Store, root: Path) -> Trial:
    """A trial that has ended, with its row and its folder."""
    spec = trial_spec(1)
    folder = TrialFolder.locate(root, spec.experiment, spec.id)
    spec = replace(spec, folder=str(folder.path))
    trial = Trial(store.start(spec, ENVIRONMENT), trial_outcome())
    assert trial.outcome is not None
    TrialFolder.create(root, spec.experiment, spec.id, plain(trial))
    store.finish(trial.id, trial.outcome)
    return trial


def said(number: int) -> Attestation:
    return Attestation("noise", "none", "2026-01-01T00:00:00.000+00:00", "here", {"n": number, "é": None})


def test_store_and_folder_say_the_same(tmp_path: Path) -> None:
    """Both hold every attestation with the store's time, oldest first, and so does a store made anew."""
    with Store.open(tmp_path / "a.db") as store:
        trial = finished(store, tmp_path)
        for number in range(3):
            assert attesting.attest(store, trial, said(number)) is None
        there = store.attestations(trial.id)
    assert [a.content["n"] for a in there] == [0, 1, 2]
    assert attesting.kept(TrialFolder(trial.spec.folder)) == tuple(there)
    audit.rebuild(tmp_path, tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store:
        assert store.attestations(trial.id) == there
        assert store.keep_attestations(trial.id, there) == 0


def test_many_at_once_lose_none(tmp_path: Path) -> None:
    """Eight writers of one trial: the folder ends with all eight."""
    with Store.open(tmp_path / "a.db") as store:
        trial = finished(store, tmp_path)
        writers = [
            threading.Thread(target=attesting.attest, args=(Store.open(tmp_path / "a.db"), trial, said(n)))
            for n in range(8)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert len(attesting.kept(TrialFolder(trial.spec.folder))) == len(store.attestations(trial.id)) == 8


def test_a_folder_that_is_gone_is_a_note(tmp_path: Path) -> None:
    """The store still has it, and the caller can say that the folder has not."""
    with Store.open(tmp_path / "a.db") as store:
        trial = finished(store, tmp_path)
        TrialFolder(trial.spec.folder).remove()
        note = attesting.attest(store, trial, said(1))
        assert note is not None and note.kind == "attestation_unkept"
        assert len(store.attestations(trial.id)) == 1


def test_a_trial_that_is_not_known_is_refused(tmp_path: Path) -> None:
    """Nothing is written for a trial that the store does not have."""
    with Store.open(tmp_path / "a.db") as store, pytest.raises(TrialNotFound):
        attesting.attest(store, Trial(trial_spec(5)), said(1))


@pytest.mark.parametrize("text", ["", "{", "[1, {}]", '{"kind": "noise"}', "null"])
def test_what_cannot_be_read_is_left_out(tmp_path: Path, text: str) -> None:
    """A file that was edited or cut off is no attestation and no fault."""
    (tmp_path / "attestations.json").write_text(text)
    assert attesting.kept(TrialFolder(tmp_path)) == ()
