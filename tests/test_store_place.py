"""Where a SQLite store may lie, and who is waited for."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mitosis.errors import StoreRefused
from mitosis.store import Store, connect, place
from tests.store_values import ENVIRONMENT, trial_spec

SFTP = "/usr/lib/openssh/sftp-server"
MOUNTS = r"""22 1 0:20 / / rw - ext4 /dev/vda rw
30 22 0:26 / /home rw,relatime shared:5 - nfs4 server:/home rw,vers=4.2
31 22 0:27 / /home/ada/local rw - xfs /dev/sdb rw
32 22 0:28 / /mnt/two\040words rw - cifs //server/share rw
33 22 0:29 / /mnt/over rw - ext4 /dev/sdc rw
34 33 0:30 / /mnt/over rw - fuse.sshfs me@there: rw
nonsense
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    return table


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/tmp", "ext4"),
        ("/home/ada/trials", "nfs4"),
        ("/home/ada/local/trials", "xfs"),
        ("/mnt/two words/x", "cifs"),
        ("/mnt/over", "fuse.sshfs"),
        ("/homes", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_deepest_mount(mounts: Path, directory: str, kind: str) -> None:
    """Names are compared part by part, escapes are read, and of two mounts on one place the later counts."""
    assert place.file_system(Path(directory), mounts) == kind


def test_a_store_on_a_network_is_refused_unless_forced(mounts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names the file, the kind and PostgreSQL; the variable lets it pass."""
    file = Path("/home/ada/trials/mitosis.db")
    with pytest.raises(StoreRefused, match=r"(?s)trials/mitosis.db.*nfs4.*postgresql.*MITOSIS_FORCE_SQLITE"):
        place.check(file, mounts)
    place.check(Path("/home/ada/local/mitosis.db"), mounts)
    monkeypatch.setenv("MITOSIS_FORCE_SQLITE", "1")
    place.check(file, mounts)


@pytest.mark.skipif(shutil.which("sshfs") is None or not Path(SFTP).exists(), reason="needs sshfs")
def test_a_real_file_system_of_another_machine_is_refused(tmp_path: Path) -> None:
    """A directory that sshfs mounts is known by its kind, in the system's own list of mounts."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    ours, its = socket.socketpair()
    mount = ["sshfs", "-f", "-o", "passive", f":{there}", str(here)]
    with (
        subprocess.Popen([SFTP], stdin=its, stdout=its) as server,
        subprocess.Popen(mount, stdin=ours, stdout=ours, stderr=subprocess.DEVNULL) as client,
    ):
        ours.close()
        its.close()
        while not here.is_mount() and client.poll() is None:
            time.sleep(0.02)
        try:
            if client.poll() is not None:
                pytest.skip("nothing can be mounted with FUSE here")
            with pytest.raises(StoreRefused, match=r"(?s)fuse\.sshfs.*postgresql"):
                Store.open(here / "mitosis.db")
            assert list(there.iterdir()) == []
        finally:
            subprocess.run(["fusermount3", "-u", str(here)], capture_output=True, check=False)
            server.terminate()


def test_where_the_system_does_not_tell_nothing_is_refused(tmp_path: Path) -> None:
    """Without a list of mounts, as on macOS, the store is used."""
    place.check(tmp_path / "a.db", tmp_path / "no such file")


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.rollback()
connection.close()
print("free", flush=True)
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs /proc/locks")
def test_who_waits_is_told_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The message names process and command; the wait is bounded, and the refusal names them too."""
    monkeypatch.setattr(connect, "TOLD_SECONDS", 0.1)
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.3)
    with Store.open(tmp_path / "a.db") as store:
        words = [sys.executable, "-c", HOLD, str(tmp_path / "a.db")]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None and holder.stdout.readline() == "held\n"
            with caplog.at_level(logging.WARNING), pytest.raises(StoreRefused, match=str(holder.pid)):
                store.start(trial_spec(1), ENVIRONMENT)
            assert str(holder.pid) in caplog.text and "import sqlite3" in caplog.text
            assert place.holder(tmp_path / "a.db").startswith(f"process {holder.pid} (")
            assert store.running() == []  # who only reads does not wait
            holder.communicate("\n")
        store.start(trial_spec(1), ENVIRONMENT)
        assert place.holder(tmp_path / "a.db") == ""


def test_waiting_ends_when_the_lock_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was told goes on as soon as the other has ended."""
    monkeypatch.setattr(connect, "TOLD_SECONDS", 0.05)
    with Store.open(tmp_path / "a.db") as store:
        words = [sys.executable, "-c", HOLD, str(tmp_path / "a.db")]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None and holder.stdin is not None
            assert holder.stdout.readline() == "held\n"
            logging.getLogger("mitosis").addHandler(handler := _Free(holder))
            try:
                store.start(trial_spec(1), ENVIRONMENT)
            finally:
                logging.getLogger("mitosis").removeHandler(handler)
            assert holder.stdout.readline() == "free\n"


class _Free(logging.Handler):
    """Lets the holder go as soon as it is complained of."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        super().__init__()
        self.holder = holder

    def emit(self, record: logging.LogRecord) -> None:
        assert self.holder.stdin is not None
        self.holder.stdin.write("\n")
        self.holder.stdin.flush()


def test_the_store_of_these_tests_is_local() -> None:
    """The check reads the real list of mounts, and sqlite3 is the one that is meant."""
    assert place.file_system(Path(os.sep)) != "" or sys.platform != "linux"
    assert sqlite3.sqlite_version_info >= (3, 24)
