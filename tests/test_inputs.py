"""Tests of mitosis.capture.inputs: what patterns name, and digests that tell the truth about files."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis.capture import inputs
from mitosis.capture.inputs import FileKey
from mitosis.errors import TrialRefused

LONG_AGO = 1_000_000_000


class Memory:
    """A cache of digests that counts what it is asked."""

    def __init__(self) -> None:
        self.known: dict[FileKey, str] = {}
        self.hits = 0

    def get(self, key: FileKey, /) -> str | None:
        self.hits += key in self.known
        return self.known.get(key)

    def put(self, key: FileKey, digest: str, /) -> None:
        self.known[key] = digest


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "a 'hostile'\nnäme"
    for name in (
        "data/a.csv",
        "data/b [1].csv",
        "data/b 1.csv",
        "data/sub/c.csv",
        "data/.hidden.csv",
        "x\ny.txt",
    ):
        file = top / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return top


def names(patterns: list[str], repository: Path) -> list[str]:
    return [p.relative_to(repository).as_posix() for p in inputs.expand(patterns, repository)]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], []),
        (["data/a.csv"], ["data/a.csv"]),
        (["./data//a.csv", "data/sub/../a.csv"], ["data/a.csv"]),
        (["data"], ["data"]),
        (["data/"], ["data"]),
        (["data/*.csv"], ["data/a.csv", "data/b 1.csv", "data/b [1].csv"]),
        (["data/b [1].csv"], ["data/b [1].csv"]),
        (["data/b [[]1].csv"], ["data/b [1].csv"]),
        (["data/b [0-9].csv"], ["data/b 1.csv"]),
        (["data/*"], ["data/a.csv", "data/b 1.csv", "data/b [1].csv", "data/sub"]),
        (["data/**"], ["data/a.csv", "data/b 1.csv", "data/b [1].csv", "data/sub/c.csv"]),
        (["**/c.csv"], ["data/sub/c.csv"]),
        (["data/.hidden.csv"], ["data/.hidden.csv"]),
        (["x\ny.txt"], ["x\ny.txt"]),
        (["x?y.txt", "x*"], ["x\ny.txt"]),
    ],
)
def test_expand(repository: Path, patterns: list[str], found: list[str]) -> None:
    """Patterns name files, directories and globs; each match is named once, in the order of the paths."""
    assert names(patterns, repository) == found


def test_expand_outside_the_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute patterns, `..` and `~` reach data outside of the repository, under its absolute path."""
    outside = repository.parent / "outside"
    outside.mkdir()
    file = outside / "d.csv"
    file.write_text("d")
    monkeypatch.setenv("HOME", str(outside))
    for pattern in (str(file), f"{outside}/*", "../outside/d.csv", "../outside/?.csv", "~/d.csv", "~/*.csv"):
        assert inputs.expand([pattern], repository) == [file]
    (record,) = inputs.declared(["../outside/d.csv"], repository)
    assert record.path == str(file)


def test_dots_after_a_link(repository: Path) -> None:
    """`..` after a link leads where the system says, not where the text of the path seems to."""
    elsewhere = repository.parent / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    (elsewhere.parent / "a.csv").write_text("the one that is read")
    (repository / "link").symlink_to(elsewhere)
    (repository / "a.csv").write_text("another")
    assert inputs.expand(["link/../a.csv"], repository) == [elsewhere.parent.resolve() / "a.csv"]


@pytest.mark.parametrize(
    "pattern", ["", " ", "none.csv", "data/*.txt", "none/**", "data/a.csv/x", "a\x00b", "x" * 5000]
)
def test_nothing_matches(repository: Path, pattern: str) -> None:
    """A pattern that matches nothing is refused by name, although others match."""
    with pytest.raises(TrialRefused) as caught:
        inputs.expand(["data/a.csv", pattern], repository)
    assert ascii(pattern) in caught.value.what


def test_declared(repository: Path) -> None:
    """Records hold the path from the repository's top, the digest, the bytes and what kind they are."""
    first, second = inputs.declared(["data/a.csv", "data/sub"], repository)
    assert first.path == "data/a.csv"
    assert first.digest == hashlib.sha256(b"data/a.csv").hexdigest()
    assert (first.size, first.kind) == (10, "declared")
    assert (second.path, second.size) == ("data/sub", len("data/sub/c.csv"))


def test_a_name_that_is_no_text(repository: Path) -> None:
    """A file whose name is no UTF-8 is recorded under a name that every store can hold."""
    os.close(os.open(os.fsencode(repository) + b"/data/\xff.bin", os.O_CREAT | os.O_WRONLY))
    (record,) = inputs.declared(["data/*.bin"], repository)
    assert record.path == "data/\\xff.bin"


@given(st.binary(max_size=100), st.sampled_from([0, 1, 1 << 18, (1 << 18) - 50, 1 << 19]))
def test_digest_of_a_file(tmp_path_factory: pytest.TempPathFactory, content: bytes, before: int) -> None:
    """The digest is the SHA-256 of the content, whatever its length."""
    file = tmp_path_factory.getbasetemp() / "content"
    file.write_bytes(b"x" * before + content)
    assert inputs.digest(file) == hashlib.sha256(b"x" * before + content).hexdigest()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="compares with coreutils")
def test_digest_of_a_directory(repository: Path) -> None:
    """A directory's digest is what the documented command prints, hostile names and links included."""
    data = repository / "data"
    (data / "empty").mkdir()
    (data / "link to file").symlink_to("a.csv")
    (data / "link\nto directory").symlink_to(repository / "data" / "sub")
    (data / "sub.csv").write_text("sorts between sub and sub/")
    script = "find -L . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum -z"
    printed = subprocess.run(["sh", "-c", script], cwd=data, capture_output=True, check=True).stdout
    assert printed.count(b"\0") == 8
    assert inputs.digest(data) == hashlib.sha256(printed).hexdigest()


def test_what_changes_the_digest_of_a_directory(repository: Path) -> None:
    """Content and names of files count, at every depth and behind links; times, order and `.git` do not."""
    data = repository / "data"
    seen = {inputs.digest(data)}
    os.utime(data / "a.csv", (0, 0))
    (data / ".git").mkdir()
    (data / ".git" / "index").write_text("changes with every command of git")
    (data / "sub" / ".git").write_text("gitdir: elsewhere")
    (data / "empty").mkdir()
    assert {inputs.digest(data)} == seen
    target = repository / "elsewhere"
    target.write_text("1")
    for change in (
        lambda: (data / "sub" / "c.csv").write_text("other"),
        lambda: (data / "sub" / "c.csv").rename(data / "sub" / "d.csv"),
        lambda: (data / "sub" / "d.csv").rename(data / "d.csv"),
        lambda: (data / "d.csv").unlink(),
        lambda: (data / "link").symlink_to(target),
        lambda: target.write_text("2"),
        lambda: target.unlink(),
    ):
        change()
        found = inputs.digest(data)
        assert found not in seen
        seen.add(found)


def test_links_to_nothing(repository: Path) -> None:
    """In a directory a link to nothing counts by its target's name (unfetched data); alone it is refused."""
    data = repository / "data"
    (data / "annexed").symlink_to("objects/1")
    first = inputs.digest(data)
    (data / "annexed").unlink()
    (data / "annexed").symlink_to("objects/2")
    assert inputs.digest(data) != first
    with pytest.raises(TrialRefused, match="link to nothing"):
        inputs.declared(["data/annexed"], repository)


def test_a_link_that_leads_back(repository: Path) -> None:
    """A directory without end is refused, and the link that makes it so is named."""
    (repository / "data" / "sub" / "back").symlink_to(repository / "data")
    with pytest.raises(TrialRefused) as caught:
        inputs.digest(repository / "data")
    assert "data/sub/back" in caught.value.what
    assert "a link to a directory around it" in caught.value.what


def test_what_is_no_file(repository: Path) -> None:
    """Pipes, sockets and devices are refused, alone and in a directory: reading them may never end."""
    pipe = repository / "data" / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, repository / "data", Path("/dev/zero")):
        with pytest.raises(TrialRefused, match="no regular file"):
            inputs.digest(path)
    pipe.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(repository)  # the path of a socket is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        with pytest.raises(TrialRefused, match="no regular file"):
            inputs.digest(repository / "socket")


def test_a_file_that_is_gone(repository: Path) -> None:
    """A missing file is named, and so is a directory in whose place is a file."""
    with pytest.raises(TrialRefused, match=r"none\.csv is not there"):
        inputs.digest(repository / "none.csv")
    with pytest.raises(TrialRefused, match="Not a directory"):
        inputs.digest(repository / "data" / "a.csv" / "x")


def test_no_permission(repository: Path) -> None:
    """A file that may not be read is refused by its own name, also inside a directory."""
    if os.geteuid() == 0:
        file = Path("/proc/self/mem")  # root may open everything, and this cannot be read at its beginning
        with pytest.raises(TrialRefused, match="/proc/self/mem cannot be read"):
            inputs.digest(file)
        return
    (repository / "data" / "sub" / "c.csv").chmod(0)
    with pytest.raises(TrialRefused, match=r"sub/c\.csv cannot be read: Permission denied"):
        inputs.digest(repository / "data")


def aged(path: Path) -> None:
    """Wait until the file's last change is so long ago that it can be cached."""
    stamp = path.stat().st_ctime_ns
    while not inputs._settled(inputs._key(path.stat())):
        threading.Event().wait(0.02)
    assert path.stat().st_ctime_ns == stamp


def test_a_file_is_read_once(repository: Path) -> None:
    """A second digest comes from the cache, also under another name of the file and inside a directory."""
    cache = Memory()
    file = repository / "data" / "sub" / "c.csv"
    aged(file)
    first = inputs.digest(file, cache)
    assert list(cache.known.values()) == [first]
    key = inputs._key(file.stat())
    assert tuple(key) == (
        file.stat().st_dev,
        file.stat().st_ino,
        file.stat().st_size,
        file.stat().st_mtime_ns,
        file.stat().st_ctime_ns,
    )
    cache.known[key] = "from the cache"
    (repository / "link").symlink_to(file)
    assert inputs.digest(file, cache) == "from the cache"
    assert inputs.digest(repository / "link", cache) == "from the cache"
    assert inputs.digest(file.parent, cache) == hashlib.sha256(b"from the cache  ./c.csv\0").hexdigest()
    assert cache.hits == 3


def test_the_cache_does_not_hide_a_change(repository: Path) -> None:
    """Other content of the same size under restored times has another digest: ctime cannot be restored."""
    cache = Memory()
    file = repository / "data" / "a.csv"
    os.utime(file, ns=(LONG_AGO, LONG_AGO))
    aged(file)
    first = inputs.digest(file, cache)
    assert len(cache.known) == 1
    file.write_text("DATA/A.CSV")
    os.utime(file, ns=(LONG_AGO, LONG_AGO))
    second = inputs.digest(file, cache)
    assert (first, second) == tuple(hashlib.sha256(t).hexdigest() for t in (b"data/a.csv", b"DATA/A.CSV"))


def test_two_changes_within_one_tick_of_the_clock(repository: Path) -> None:
    """A file that was changed just now is not cached: another change could leave it in the same state."""
    cache = Memory()
    file = repository / "data" / "a.csv"
    for i in range(200):
        content = f"{i:010d}".encode()
        file.write_bytes(content)
        assert inputs.digest(file, cache) == hashlib.sha256(content).hexdigest()


def test_a_file_that_grows_while_it_is_read(repository: Path) -> None:
    """A file that is being written is refused, and no digest of it is kept."""
    cache = Memory()
    file = repository / "data" / "log"
    file.write_bytes(b"x" * (1 << 20))
    stop = threading.Event()

    def write() -> None:
        with file.open("ab", buffering=0) as log:
            while not stop.is_set():
                log.write(b"x" * 4096)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(TrialRefused, match="changes while it is read"):
            while True:
                inputs.digest(file, cache)
    finally:
        stop.set()
        writer.join()
    assert cache.known == {}
