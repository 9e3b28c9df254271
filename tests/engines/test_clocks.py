"""Hosts whose clocks differ: processes that see another time and another host name, and one PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mitosis.store import Store
from tests.engines import postgresql as postgresql_engine
from tests.engines import zoo
from tests.engines.required import absent
from tests.engines.test_launchers import reached
from tests.store_values import database_on

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.engines]

ELSEWHERE = "elsewhere"
SLACK = timedelta(minutes=1)  # of an hour
moment = datetime.fromisoformat
AS_ANOTHER_HOST = f'hostname {ELSEWHERE} && exec faketime -f "$0" "$@"'


def elsewhere(where: zoo.Zoo, offset: str, *words: str) -> subprocess.Popen[str]:
    """The command on a host called `elsewhere`, whose clock is that much ahead (`+1h`) or behind (`-1h`)."""
    mitosis = [sys.executable, "-m", "mitosis", *words]
    return subprocess.Popen(
        ["unshare", "--uts", "sh", "-c", AS_ANOTHER_HOST, offset, *mitosis],
        cwd=where.repository.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
        env={**os.environ, "PYTHONWARNINGS": "", **where.env},
    )  # fmt: skip


def there(where: zoo.Zoo, offset: str, *words: str) -> Any:
    """What a reading command answers on that host."""
    done = zoo.ended(elsewhere(where, offset, *words, "--json"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def another_host() -> None:
    if shutil.which("faketime") is None:
        absent("faketime", "faketime is not installed: apt-get install -y faketime")
    if subprocess.run(["unshare", "--uts", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not name a host: unshare --uts")


@pytest.mark.parametrize("offset", ["+1h", "-1h"])
@pytest.mark.usefixtures("another_host")
def test_the_server_s_clock_decides(
    offset: str, tmp_path: Path, postgresql: postgresql_engine.Server
) -> None:
    """Clocks of two hosts are an hour apart: no trial is taken for lost, all times are the server's."""
    with reached(postgresql), database_on(postgresql.url) as url:
        where = zoo.make(tmp_path, env={**postgresql.env, "MITOSIS_STORE": url})
        with Store.open(url) as store:
            before = store.now()
            sweep = ("-m", "experiment=zoo", "params=slow,refused", "seed=0")
            process = elsewhere(where, offset, *sweep)
            here = where.start("params=slow", "seed=1")
            where.begun("slow", 0)
            where.begun("slow", 1)
            running = {t["host"]: t for t in where.whole()}
            assert set(running) == {ELSEWHERE, socket.gethostname()}
            assert [t["status"] for t in there(where, offset, "ls")] == ["running"] * 2
            state = there(where, offset, "show", running[ELSEWHERE]["sweep"])
            assert state["counts"]["running"] == state["waiting"] == 1
            where.go()
            ends = (zoo.ended(process), zoo.ended(here))
            assert [done.returncode for done in ends] == [2, 0], ends
            after = store.now()
        found = where.whole()
    assert sorted(t["status"] for t in found) == ["failed", "succeeded", "succeeded"]
    assert {t["host"] for t in found if t["seed"] == 0} == {ELSEWHERE}
    times = [moment(t[name]) for t in found for name in ("started_at", "finished_at")]
    times.append(moment(state["started_at"]))
    assert moment(before) - SLACK <= min(times) and max(times) <= moment(after) + SLACK, times
