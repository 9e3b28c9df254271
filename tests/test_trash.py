"""`mitosis rm`, `restore` and `gc`: what is moved, what is deleted, and what is never touched."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mitosis.trial import Attestation, utc_now
from tests.project import Project

pytestmark = pytest.mark.kernel


@pytest.fixture
def used(project: Project) -> Project:
    """A project with a sweep of three trials, the last of which failed."""
    project.run("-m", "experiment=toy", "params=one,two,broken", "seed=4")
    return project


def ids(project: Project, *words: str) -> list[str]:
    return [trial["id"] for trial in project.json("ls", *words)]


def test_a_trial_is_removed_and_brought_back(used: Project) -> None:
    """A dry run does nothing; then folder and row go and come back, and every step leaves a clean record."""
    before = used.json("ls")
    (trial,) = used.json("ls", "--variant", "one")
    assert used.json("rm", trial["id"])["done"] is False
    assert used.json("ls") == before
    done = used.run("rm", trial["id"], "--yes")
    assert done.returncode == 0 and "next: mitosis restore" in done.stderr, done.stderr
    assert trial["id"] not in ids(used) and not Path(trial["folder"]).exists()
    (gone,) = (t for t in used.json("ls", "--all") if t["removed"])
    assert gone["id"] == trial["id"] and "/trash/toy/" in gone["folder"] and Path(gone["html"]).exists()
    assert "x" in used.run("ls", "--all").stdout
    assert used.run("check").returncode == 0
    assert used.json("show", trial["id"])["removed"] is True
    assert used.run("rm", trial["id"]).returncode == 1
    assert used.run("restore", trial["id"], "--yes").returncode == 0
    assert used.json("ls") == before
    assert not (used.path / "trials/trash/toy").exists()
    assert used.run("check").returncode == 0


def test_a_removed_trial_stands_for_nothing(used: Project) -> None:
    """What is missing because it was removed runs again, in its own sweep as well."""
    (trial,) = used.json("ls", "--variant", "one")
    used.run("rm", trial["id"], "--yes")
    done = used.run("resume", trial["sweep"])
    assert "one seed=4" not in done.stdout.replace("stands for toy two", "") or "running" in done.stdout
    (again,) = used.json("ls", "--variant", "one")
    assert again["id"] != trial["id"] and again["sweep"] == trial["sweep"]


def test_the_mark_survives_a_store_made_anew(used: Project) -> None:
    """Removed, failed and environments are what they were, from the folders alone."""
    first = ids(used)[0]
    used.run("rm", first, "--yes")
    before, shown = used.json("ls", "--all"), used.json("show", first)
    (used.path / "trials" / "mitosis.db").unlink()
    assert used.run("check", "--rebuild").returncode == 0
    assert used.json("ls", "--all") == before and used.json("show", first) == shown
    assert shown["environment"]["content"] is not None


@pytest.mark.parametrize("back", [False, True])
def test_a_move_that_was_cut_off_is_completed(used: Project, back: bool) -> None:
    """Where only the folder was moved, `check` lets the row say what the folder says."""
    first = used.json("ls")[0]
    here = Path(first["folder"])
    there = used.path / "trials" / "trash" / "toy" / first["id"]
    if back:
        used.run("rm", first["id"], "--yes")
        there.rename(here)
    else:
        there.parent.mkdir(parents=True)
        here.rename(there)
    assert used.run("check").returncode == 0
    assert (first["id"] in ids(used)) is back
    assert first["id"] in ids(used, "--all")


def test_who_is_referred_to_is_not_removed(used: Project) -> None:
    """A trial that stands in another sweep, or that an attestation names, is refused, naming the other."""
    from mitosis import attesting
    from mitosis.store import Store

    (one,), (two,) = ids(used, "--variant", "one"), ids(used, "--variant", "two")
    used.run("-m", "experiment=toy", "params=one", "seed=4,5", "mitosis.rerun=missing")
    done = used.run("rm", one, "--yes")
    assert done.returncode == 1 and "stands for a job of the sweep" in done.stderr
    with Store.open(used.path / "trials" / "mitosis.db") as store:
        found = Attestation("reproduce", "same", utc_now(), "here", {"trials": [two]})
        attesting.attest(store, store.get(one), found)
    done = used.run("rm", two, "--yes")
    assert done.returncode == 1 and one in done.stderr
    assert used.run("rm", two, one, "--yes").returncode == 1  # the sweep still stands on one of them
    assert used.run("rm", two, one, "--yes", "--even-if-referred").returncode == 0


def test_what_an_output_is_read_from_is_not_removed(project: Project) -> None:
    """A trial whose output another one read is refused, and the reader is named."""
    project.write(".gitignore", "__pycache__/\ndata.txt\n")
    project.write(
        "toy.py",
        "from pathlib import Path\n\n\ndef run(seed, x):\n"
        "    file = Path('data.txt')\n"
        "    if seed == 0:\n        file.write_text('made')\n"
        "    return {'main': len(file.read_text())}\n",
    )
    project.commit()
    for seed in (0, 1):
        assert project.run("experiment=toy", "params=one", f"seed={seed}").returncode == 0
    (writer,), (reader,) = ids(project, "--seed", "0"), ids(project, "--seed", "1")
    done = project.run("rm", writer, "--yes")
    assert done.returncode == 1 and reader in done.stderr and "data.txt" in done.stderr
    assert project.run("rm", writer, reader, "--yes").returncode == 0


def test_gc_deletes_what_nothing_needs(used: Project) -> None:
    """Checkouts, old trash and leftovers go; strangers stay, and removed trials are still counted."""
    trials = used.path / "trials"
    (one,) = used.json("ls", "--variant", "one")
    used.run("rm", one["id"], "--yes")
    leftover = trials / "toy" / ".new-000000000000-00000000"
    leftover.mkdir()
    (leftover / "trial.json").write_text("{}")
    young = trials / "toy" / ".new-000000000001-00000000"
    young.mkdir()
    os.utime(leftover, (0, 0))
    stranger = trials / "notes.txt"
    stranger.write_text("mine")
    (trials / "checkouts" / "mine").mkdir()
    planned = used.json("gc", "--older-than", "0d")
    assert planned["done"] is False and one["id"] in str(planned)
    kinds = sorted(i["kind"] for i in planned["items"] if i["what"].startswith(str(trials)))
    assert kinds == ["checkout", "temporary", "trash"]
    assert leftover.exists() and used.run("gc").returncode == 0
    done = used.run("gc", "--older-than", "0d", "--yes")
    assert done.returncode == 0, done.stderr
    assert not leftover.exists() and young.exists() and stranger.exists()
    assert [p.name for p in (trials / "checkouts").iterdir() if not p.name.startswith(".")] == ["mine"]
    (gone,) = (t for t in used.json("ls", "--all") if t["removed"])
    assert gone["main"] == one["main"] and sorted(p.name for p in Path(gone["folder"]).iterdir()) == [
        "removed.json",
        "trial.json",
    ]
    refused = used.run("restore", one["id"], "--yes")
    assert refused.returncode == 1 and "deleted by mitosis gc" in refused.stderr
    assert used.run("check").returncode == 0
    assert (
        used.run("-m", "experiment=toy", "params=two", "seed=5,6").returncode == 0
    )  # a checkout is made again


def test_gc_keeps_the_checkout_of_a_sweep_that_lives(used: Project) -> None:
    """Between two trials of a sweep nothing runs, and its checkout is needed all the same."""
    users = used.path / "trials" / "checkouts" / ".users"
    (tree,) = (p for p in users.parent.iterdir() if len(p.name) == 40 and p.is_dir())
    process = used.json("show", "@1")
    assert process["status"]
    from mitosis.capture import environment
    from mitosis.trial import plain

    word = users / "1-0.json"
    word.write_text(json.dumps({"tree": str(tree), "process": plain(environment.host_process())}))
    assert str(tree) not in [i["what"] for i in used.json("gc")["items"]]
    word.unlink()
    assert str(tree) in [i["what"] for i in used.json("gc")["items"]]


def test_gc_keeps_every_ref(used: Project) -> None:
    """Refs lie outside of the root, and another store may name what they keep."""
    used.write("toy.py", "def run(seed, x):\n    return {'main': 2 * x}\n")
    words = ("experiment=toy", "params=one", "mitosis.on_dirty=snapshot")
    assert used.run(*words).returncode == 0
    used.git("update-ref", "refs/mitosis/snapshots/" + "0" * 39 + "1", "HEAD")
    before = used.git("for-each-ref")
    used.run("rm", ids(used)[0], "--yes")
    assert used.run("gc", "--older-than", "0d", "--yes").returncode == 0
    assert used.git("for-each-ref") == before


def test_a_folder_that_lies_elsewhere_is_not_touched(used: Project, tmp_path: Path) -> None:
    """Where the folder's place was taken by a link that leads out of the root, removal is refused."""
    (one,) = used.json("ls", "--variant", "one")
    folder, outside = Path(one["folder"]), tmp_path / "outside"
    shutil.move(folder, outside)
    folder.symlink_to(outside)
    done = used.run("rm", one["id"], "--yes")
    assert done.returncode == 1 and "not where mitosis keeps" in done.stderr
    assert (outside / "trial.json").exists()
