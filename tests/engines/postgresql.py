"""A PostgreSQL server of our own: Debian's binaries, a user other than root, a port of the loopback."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.engines.engine import Missing, directory, free_ports, run

INSTALL = "apt-get install -y --no-install-recommends postgresql"
PASSWORD = "correct horse"


@dataclass(frozen=True)
class Server:
    """A server that runs; the password is in a file that libpq finds by PGPASSFILE, not in the URL."""

    home: Path
    port: int

    @property
    def url(self) -> str:
        """The URL of its database `postgres`, without the password."""
        return f"postgresql+psycopg://bench@127.0.0.1:{self.port}/postgres"

    @property
    def env(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return {"MITOSIS_TEST_POSTGRESQL": self.url, "PGPASSFILE": str(self.home / "pgpass")}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off "
            "-c full_page_writes=off -c max_connections=200"
        )
        data, log = self.home / "data", self.home / "server.log"
        self._control("-D", data, "-l", log, "-w", "-t", "30", "-s", "-o", options, "start")

    def stop(self) -> None:
        """Stop it at once: what is connected is cut off, as by a crash; what was committed is kept."""
        self._control("-D", self.home / "data", "-m", "immediate", "-w", "-s", "stop")

    def _control(self, *words: str | Path) -> None:
        run([binaries() / "pg_ctl", *words], self.home / "control.log", cwd=self.home, **_user())


def binaries() -> Path:
    """The directory of the newest server that is installed; raises Missing."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda p: int(p.parts[-3])).parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise Missing(f"PostgreSQL is not installed: {INSTALL}")
    return Path(on_path).resolve().parent


def _user() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def server() -> Iterator[Server]:
    """A new server with an empty database; it ends with the context. Raises Missing."""
    place = binaries()
    if find_spec("psycopg") is None:  # a server that nobody can speak to
        raise Missing("psycopg is not installed: pip install 'mitosis[postgres]'")
    with directory("pg") as home:
        word = home / "word"
        word.write_text(f"{PASSWORD}\n")
        pgpass = home / "pgpass"
        pgpass.write_text(f"127.0.0.1:*:*:bench:{PASSWORD}\n")
        pgpass.chmod(0o600)  # libpq ignores one that others may read
        if user := _user():
            os.chown(home, user["user"], user["group"])  # type: ignore[arg-type]
        run(
            [place / "initdb", "-D", home / "data", "-U", "bench", "-A", "scram-sha-256", "--pwfile", word,
             "--no-sync", "--no-locale", "-E", "UTF8"],
            home / "initdb.log", cwd=home, **_user(),
        )  # fmt: skip
        made = Server(home, *free_ports(1))
        made.start()
        try:
            yield made
        finally:
            made.stop()
