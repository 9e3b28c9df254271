"""What a person sees while trials run: a real pseudo-terminal, and an emulator that reads it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest

from mitosis.cli.terminal import driver_cost
from tests import project as project_of_tests
from tests.project import Project
from tests.record import cut_off

pytestmark = pytest.mark.kernel

ROWS, COLUMNS, PATIENCE = 100, 120, 120.0  # seconds until a test gives up

BAR = '''\
"""Shows a bar of its own, and waits in the middle of it until the test has seen it."""

import os
import time
from pathlib import Path

import tqdm


def run(seed, x):
    for step in tqdm.tqdm(range(4), desc=f"steps {x} {seed}", mininterval=0, ncols=60):
        gate = Path(os.environ["GATES"], f"{x} {seed}")
        while step == 2 and not gate.exists():
            time.sleep(0.01)
    return {"main": x}
'''


class Watched:
    """A command on a terminal: what it has written so far, and what stands on the screen."""

    def __init__(self, command: list[str], cwd: Path, **env: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        surroundings = {**os.environ, "PYTHONWARNINGS": "", "TERM": "xterm", **env}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=surroundings,
            start_new_session=True,
        )
        os.close(slave)
        self.raw = b""
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._emulator = pyte.ByteStream(self._screen)

    def lines(self) -> list[str]:
        """The lines of the screen that hold anything."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def until(self, holds: Callable[[list[str]], bool]) -> list[str]:
        """The screen as soon as `holds` of it; fails where that never happens."""
        end = time.monotonic() + PATIENCE
        while not holds(self.lines()):
            assert time.monotonic() < end and self._read(), "\n".join(self.lines())
        return self.lines()

    def rest(self) -> list[str]:
        """The screen once the command has ended."""
        while self._read():
            pass
        self.process.wait(timeout=PATIENCE)
        return self.lines()

    def _read(self) -> bool:
        """Read what there is, or wait for it a little; False once the command has closed the terminal."""
        ready, _, _ = select.select([self._master], [], [], 1.0)
        try:
            content = os.read(self._master, 1 << 16) if ready else None
        except OSError:  # Linux's end of a terminal that nobody has open any more
            return False
        if content:
            self.raw += content
            self._emulator.feed(content)
        return content != b""

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A repository whose experiment shows a bar of its own."""
    with cut_off(tmp_path_factory.mktemp("home")) as home:
        project = project_of_tests.make(home / "bars")
        project.write("toy.py", BAR)
        project.commit()
        yield project


@contextmanager
def watched(project: Project, gates: Path, *words: str, **env: str) -> Iterator[Watched]:
    """The command on a terminal; the experiment's gates are files in `gates`."""
    command = [sys.executable, "-m", "mitosis", *words]
    seen = Watched(command, project.path, GATES=str(gates), **env)
    try:
        yield seen
    finally:
        seen.close()


def _with(*words: str) -> Callable[[list[str]], bool]:
    """Does one line of the screen hold all `words`."""
    return lambda lines: any(all(word in line for word in words) for line in lines)


def test_a_bar_of_the_experiment_stays_one_live_line(project: Project, tmp_path: Path) -> None:
    """In a single trial a tqdm bar is seen at its half, and at the end it is one line."""
    with watched(project, tmp_path, "experiment=toy", "params=one") as seen:
        half = seen.until(_with("steps 1.0 0", "50%", "2/4"))
        assert sum("steps" in line for line in half) == 1
        (tmp_path / "1.0 0").touch()
        end = seen.rest()
        assert seen.process.returncode == 0
        assert [("100%" in line, "4/4" in line) for line in end if "steps" in line] == [(True, True)]
        assert "succeeded" in end[-2] and "next: mitosis open" in end[-1]


def test_a_sweep_shows_its_bar_and_those_of_the_experiments(project: Project, tmp_path: Path) -> None:
    """Below the live line of the experiment one bar counts the trials; at the end each line is there once."""
    with watched(project, tmp_path, "-m", "experiment=toy", "params=one,two") as seen:
        seen.until(_with("0/2", "done, 0 failed, 1 running, eta"))
        half = seen.until(_with("steps 1.0 0", "50%", "2/4"))
        assert sum("steps" in line for line in half) == 1
        (tmp_path / "1.0 0").touch()
        half = seen.until(
            lambda lines: _with("steps 2.0 0", "50%")(lines) and _with("1/2", "1 running")(lines)
        )
        assert ["100%" in line for line in half if "steps" in line] == [True, False]
        assert sum("running, eta" in line for line in half) == 1
        (tmp_path / "2.0 0").touch()
        end = seen.rest()
        assert seen.process.returncode == 0
        assert ["100%" in line for line in end if "steps" in line] == [True, True]
        assert sum("running, eta" in line for line in end) == 1
        assert _with("2/2", "done, 0 failed, 0 running")(end)


def test_a_terminal_without_movement_gets_plain_lines(project: Project, tmp_path: Path) -> None:
    """TERM=dumb: no escape sequence, and a line whenever trials have ended."""
    words = ("-m", "experiment=toy", "params=one,two,broken", "seed=0")
    with watched(project, tmp_path, *words, TERM="dumb") as seen:
        (tmp_path / "1.0 0").touch()
        seen.until(_with("1 of 3 done, 0 failed, "))
        (tmp_path / "2.0 0").touch()
        end = seen.rest()
        assert seen.process.returncode == 2
        assert b"\x1b" not in seen.raw
        assert _with("3 of 3 done, 1 failed, 0 running")(end)


def test_a_large_sweep_tells_what_it_cost_the_driver() -> None:
    """CPU time a job and the most memory; a small one would only tell what starting costs."""
    assert re.fullmatch(
        r"driver: [\d.e+-]+ s of CPU time a job, \d+ MB of memory at most\n", driver_cost(100)
    )
    assert driver_cost(99) == ""
