"""Where the file of a SQLite store lies, and who holds it: what the system tells of mounts and locks."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from mitosis.errors import StoreRefused

FORCE = "MITOSIS_FORCE_SQLITE"
"""Environment variable; with the value 1 a store is used wherever it lies."""

_SHARED = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb2",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "coda",
        "9p",
        "drvfs",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "orangefs",
        "pvfs2",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.juicefs",
        "fuse.gcsfuse",
        "fuse.goofys",
    ]
)
"""File systems on which SQLite's write-ahead log, memory that processes share, or its locks do not hold
between machines (https://www.sqlite.org/wal.html, https://www.sqlite.org/howtocorrupt.html, 2.1)."""

_MOUNTS = Path("/proc/self/mountinfo")
_LOCKS = Path("/proc/locks")
_WAL_WRITE_LOCK = 120  # the byte of the -shm file, https://www.sqlite.org/walformat.html, 2.3.1


def check(path: Path, mounts: Path = _MOUNTS) -> None:
    """Raise StoreRefused where the store would lie on a file system that SQLite cannot be trusted on.

    Nothing is checked where the system does not tell (macOS), nor with `MITOSIS_FORCE_SQLITE=1`.
    """
    if os.environ.get(FORCE) == "1":
        return
    kind = file_system(path.parent, mounts)
    if kind in _SHARED:
        raise StoreRefused(
            f"the store {path} lies on a file system ({kind}) on which SQLite's locks and log do not hold",
            "share a PostgreSQL, mitosis.store=postgresql+psycopg://..., or keep the store on a local disk: "
            f"mitosis.store=FILE (only one machine ever uses it, and its locks work? {FORCE}=1)",
        )


@lru_cache(maxsize=8)
def file_system(directory: Path, mounts: Path = _MOUNTS) -> str:
    """The kind of the file system that holds `directory`, which need not be there yet; '': not known.

    Mounts are listed as proc_pid_mountinfo(5) says; of two on the same place the later one counts.
    """
    real = Path(os.path.realpath(directory))
    try:
        lines = os.fsdecode(mounts.read_bytes()).splitlines()
    except OSError:
        return ""
    found, deepest = "", -1
    for line in lines:
        before, separator, after = line.partition(" - ")
        words = before.split(" ")
        if not separator or len(words) < 5:
            continue
        place = Path(_unescaped(words[4]))
        if len(place.parts) >= deepest and real.is_relative_to(place):
            found, deepest = after.split(" ")[0], len(place.parts)
    return found


def _unescaped(text: str) -> str:
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, sign)
    return text


def holder(path: Path) -> str:
    """Who keeps others from writing to the store: `process 4711 (python -m mitosis ...)`; '' where unknown.

    The locks of other machines, and of other users' containers, are not told.
    """
    try:
        about = [Path(f"{path}{ending}").stat() for ending in ("-shm", "")]
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return ""
    for file in about:
        where = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
        for line in lines:
            words = line.split()
            if (
                "->" in words
                or len(words) < 8
                or words[1] != "POSIX"
                or words[3] != "WRITE"
                or words[5] != where
            ):
                continue
            last = int(words[7]) if words[7].isdigit() else 2**63
            if file is about[0] and not int(words[6]) <= _WAL_WRITE_LOCK <= last:
                continue  # a reader, or one that opens the file
            if int(words[4]) > 0:
                return f"process {words[4]}{_command(int(words[4]))}"
    return ""


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(" ".join(words).split()))
    return f" ({line[:120]})" if line else ""
