"""What a process does that an engine started for one job alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines import required, zoo
from tests.engines.test_launchers import LAUNCHERS

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.engines]


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_no_kernel_is_kept_ready_for_a_job_that_cannot_come(tmp_path: Path) -> None:
    """submitit starts a process for each job: there is the kernel of that job and no other."""
    required.plugin("submitit")
    where = zoo.make(tmp_path, LAUNCHERS["submitit_local"])
    process = where.start("params=slow,fine", "seed=0")
    where.begun("slow", 0)
    (server,) = children(where.process_of("slow", 0)["pid"])
    kernels = children(server)
    where.go()
    done = zoo.ended(process)
    assert done.returncode == 0, done.stderr
    assert len(kernels) == 1
