"""A full disk, a read-only one, a limit and a missing right: refused before a trial, told after it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project

pytestmark = pytest.mark.kernel

TOY = """\
import os
import time
from pathlib import Path


def run(seed, x, how="nothing", place=""):
    print("begun", flush=True)
    if how.startswith("wait"):
        while not Path(os.environ["GO"]).exists():
            time.sleep(0.02)
    if how == "wait, write":
        (Path(place) / "mine").write_text("x")
    if how == "file":
        with open(Path(place) / "big", "wb", buffering=0) as file:
            while True:
                file.write(bytes(65536))
    if how == "print":
        while True:
            print("x" * 65536, flush=True)
    if how == "result":
        for size in (2**20, 2**12, 1):
            try:
                with open(Path(place) / f"big{size}", "wb", buffering=0) as file:
                    while True:
                        file.write(bytes(size))
            except OSError:
                pass
    return {"main": x, "more": list(range(20_000))}
"""


def _mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    place = tmp_path / "small"
    place.mkdir()
    if sys.platform != "linux" or not _mount("-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)):
        pytest.skip("to mount a small file system takes the rights of root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.contextmanager
def looped(tmp_path: Path, size: int, maker: list[str], *options: str) -> Iterator[Path]:
    """A file system in a file, made by `maker`; skips where there is no such program or no right to mount."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    try:
        made = subprocess.run([*maker, str(image)], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made or not _mount("-o", ",".join(["loop", *options]), str(image), str(place)):
        pytest.skip(f"to make and mount a file system takes {maker[0]} and the rights of root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An ext4, and a file: 1 written there is an error of the disk, which is read-only from then on."""
    with looped(tmp_path, 32 * 2**20, ["mkfs.ext4", "-q"], "errors=remount-ro") as place:
        found = subprocess.run(["findmnt", "-no", "SOURCE", str(place)], capture_output=True, text=True)
        trigger = Path("/sys/fs/ext4", Path(found.stdout.strip()).name, "trigger_fs_error")
        if not trigger.exists():
            pytest.skip("this kernel cannot be told to find an error")
        yield place, trigger


@pytest.fixture
def rationed(tmp_path: Path) -> Iterator[Path]:
    """A directory of a large disk in which a quota leaves 6 MB."""
    with looped(tmp_path, 128 * 2**20, ["mkfs.btrfs", "--quiet", "--mixed"]) as disk:
        mine = disk / "mine"
        for rest in (
            ["quota", "enable", disk],
            ["subvolume", "create", mine],
            ["qgroup", "limit", "6M", mine],
        ):
            if subprocess.run(["btrfs", *map(str, rest)], capture_output=True, check=False).returncode != 0:
                pytest.skip("this kernel's btrfs has no quota")
        yield mine


@pytest.fixture
def toy(project: Project) -> Project:
    project.write("toy.py", TOY)
    project.write("conf/params/one.yaml", "x: 1.0\nhow: nothing\nplace: ''\n")
    project.commit()
    return project


def fill(place: Path) -> Path:
    """Use up all there is."""
    file = place / "ballast"
    with file.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(4096))
    return file


def words(root: Path, how: str = "nothing", place: Path | str = "", *more: str) -> list[str]:
    return [
        "experiment=toy",
        "params=one",
        f"mitosis.root='{root}'",
        f"params.how={how}",
        f"params.place='{place}'",
        *more,
    ]


def test_a_full_disk_is_refused_before_a_trial(toy: Project, small: Path) -> None:
    """Exit 1 in one or two lines that say so; what was there is undamaged, and with room it goes on."""
    root = small / "trials"
    assert toy.run(*words(root)).returncode == 0
    ballast = fill(small)
    done = toy.run(*words(root))
    assert done.returncode == 1 and "pace" in done.stderr and "Traceback" not in done.stderr, done.stderr
    ballast.unlink()
    assert toy.run("check").returncode == 0
    assert toy.run(*words(root)).returncode == 0
    assert [t["status"] for t in toy.json("ls")] == ["succeeded", "succeeded"]


def test_a_quota_that_is_used_up_is_refused_before_a_trial(toy: Project, rationed: Path) -> None:
    """As a full disk, where a write into mapped memory would end the process by a signal."""
    root = rationed / "trials"
    assert toy.run(*words(root)).returncode == 0
    ballast = fill(rationed)
    done = toy.run(*words(root))
    assert done.returncode == 1 and "quota" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    ballast.unlink()
    os.sync()
    assert toy.run("check").returncode == 0
    assert toy.run(*words(root)).returncode == 0


@pytest.mark.parametrize("how", ["file", "print", "result"])
def test_a_disk_that_fills_during_a_trial(toy: Project, small: Path, how: str) -> None:
    """The trial ends `failed` with that cause, in the row and on the page; the others are undamaged."""
    root = small / "trials"
    assert toy.run(*words(root)).returncode == 0
    done = toy.run(*words(root, how, small))
    assert done.returncode == 2 and "fault of mitosis" not in done.stderr, done.stdout[-300:] + done.stderr
    assert "Error in callback" not in done.stdout
    for file in small.glob("big*"):
        file.unlink()
    failed, succeeded = toy.json("ls")
    assert (failed["status"], succeeded["status"]) == ("failed", "succeeded")
    assert "No space left" in toy.json("show", failed["id"])["error"]["message"]
    assert "No space left" in Path(failed["html"]).read_text()
    checked = toy.run("check")
    assert checked.returncode == 0, checked.stdout


def test_a_read_only_disk_is_refused_before_a_trial(toy: Project, small: Path) -> None:
    """Exit 1 in one or two lines that say so; nothing is damaged, and writable again it goes on."""
    root = small / "trials"
    assert toy.run(*words(root)).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    refused = toy.run(*words(root))
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) <= 2 and str(small) in refused.stderr
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    assert toy.run("check").returncode == 0
    assert toy.run(*words(root)).returncode == 0


@pytest.mark.parametrize("how", ["wait", "wait, write"])
def test_a_disk_that_becomes_read_only_during_a_trial(
    toy: Project, tmp_path: Path, failing: tuple[Path, Path], how: str
) -> None:
    """The end is kept in git's directory; with the disk back, the trial has failed with that cause."""
    (place, trigger), go = failing, tmp_path / "go"
    assert toy.run(*words(place / "trials")).returncode == 0
    launcher = toy.start(*words(place / "trials", f"'{how}'", place), GO=str(go), PYTHONUNBUFFERED="1")
    assert launcher.stdout is not None and launcher.stderr is not None
    assert any("begun" in line for line in launcher.stdout)
    os.sync()  # what was written before the error shall be on the disk
    trigger.write_text("1")
    go.touch()
    out, err = launcher.communicate(timeout=120)
    assert launcher.returncode == 2 and "Error in callback" not in out, out + err
    assert "Read-only file system" in err and ".git/mitosis/ends/" in err
    assert toy.run("ls").returncode == 0
    image = tmp_path / "image"
    subprocess.run(["umount", str(place)], check=True)
    subprocess.run(["e2fsck", "-p", str(image)], capture_output=True, check=False)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    checked = toy.run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    failed, succeeded = toy.json("ls")
    assert (failed["status"], succeeded["status"]) == ("failed", "succeeded")
    assert "Read-only file system" in toy.json("show", failed["id"])["error"]["message"]
    assert "Read-only file system" in Path(failed["html"]).read_text()
    assert list((toy.path / ".git/mitosis/ends").iterdir()) == []


@pytest.mark.parametrize("how", ["file", "print"])
def test_a_quota_that_is_used_up_during_a_trial(toy: Project, rationed: Path, how: str) -> None:
    """The trial ends `failed` with that cause; with room again, everything goes on."""
    root = rationed / "trials"
    assert toy.run(*words(root)).returncode == 0
    done = toy.run(*words(root, how, rationed))
    assert done.returncode == 2 and "Error in callback" not in done.stdout, done.stdout[-300:] + done.stderr
    assert "quota exceeded" in done.stderr
    failed, succeeded = toy.json("ls")
    assert (failed["status"], succeeded["status"]) == ("failed", "succeeded")
    assert "quota exceeded" in toy.json("show", failed["id"])["error"]["message"]
    assert "quota exceeded" in Path(failed["html"]).read_text()
    checked = toy.run("check")
    assert checked.returncode == 0, checked.stdout


def test_a_limit_on_the_size_of_files(toy: Project, tmp_path: Path) -> None:
    """With `ulimit -f` the output that does not fit ends the trial `failed`, with that cause."""
    arguments = words(tmp_path / "trials", "print")
    script = 'ulimit -f 2000; exec "$0" -m mitosis "$@"'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, *arguments], cwd=toy.path, capture_output=True, check=False
    )
    assert done.returncode == 2, done.stderr[-2000:]
    (trial,) = toy.json("ls")
    assert trial["status"] == "failed"
    assert "too large" in toy.json("show", trial["id"])["error"]["message"]
    assert toy.run("check").returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root has every right")
@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_directory_without_the_right_to_write(toy: Project, tmp_path: Path, mode: int) -> None:
    """Refused before anything runs, naming the place."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=mode)
    try:
        done = toy.run(*words(locked / "trials"))
    finally:
        locked.chmod(0o755)
    assert done.returncode == 1 and "locked" in done.stderr and "Traceback" not in done.stderr
