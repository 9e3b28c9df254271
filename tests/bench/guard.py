"""Rows: what the guard costs an experiment that computes, and one that opens many files."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.measure import Cost, Row, Sides, Skip
from tests.bench.place import Place, mitosis
from tests.bench.process import jupyter_execute

SECONDS = 120  # that a kernel may take to connect

# The same function in both kernels: it does one piece of work for each line that it hears.
PROBE = '''\
import json
import os
import socket
import time


def compute(size):
    """Pure Python: calls, numbers, and containers."""
    table = {}
    x = 0.5
    for i in range(size):
        x = 3.9 * x * (1.0 - x)
        table[i & 1023] = (x, i)
    return len(table)


def opens(folder):
    """Open and read every file."""
    total = 0
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            total += len(file.read())
    return total


def run(seed):
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(os.environ["BENCH_SOCKET"])
        heard = line.makefile("r")
        for request in heard:
            word, argument = json.loads(request)
            if word == "end":
                os._exit(0)  # what was observed is another row's
            body = {"compute": compute, "opens": opens}[word]
            start, cpu = time.perf_counter(), time.process_time()
            body(argument)
            cost = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
            line.sendall(json.dumps(cost).encode() + b"\\n")
    return {"main": seed}
'''


class Kernel:
    """A kernel that waits for work inside a call of `probe.run`."""

    def __init__(self, place: Place, name: str, command: list[str], cwd: Path) -> None:
        path = place.path / f"{name}.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(1)
        self._process = subprocess.Popen(
            command, cwd=cwd, env=place.environ() | {"BENCH_SOCKET": str(path)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(SECONDS):
            with contextlib.suppress(TimeoutError):
                self._line, _ = listener.accept()
                break
            if self._process.poll() is not None:
                raise Skip(
                    f"{' '.join(command)} ended with {self._process.returncode} before its experiment began"
                )
        self._line.settimeout(None)
        self._heard = self._line.makefile("r")
        listener.close()

    def work(self, word: str, argument: Any) -> Cost:
        """The cost of one piece of work."""
        self._say(word, argument)
        answer = json.loads(self._heard.readline())
        return Cost(answer["seconds"], answer["cpu"])

    def _say(self, word: str, argument: Any) -> None:
        self._line.sendall(json.dumps([word, argument]).encode() + b"\n")

    def end(self) -> None:
        """Let the kernel die in the middle of the call."""
        with contextlib.suppress(OSError):
            self._say("end", None)
        self._process.wait()
        self._line.close()


@contextlib.contextmanager
def kernels(place: Place) -> Iterator[tuple[Kernel, Kernel]]:
    """A guarded kernel, of a trial, and a bare one, of a notebook; both inside the same function."""
    repository = place.repository(
        "guard", {"probe.py": PROBE, "conf/experiment/probe.yaml": "module: probe\n"}
    )
    notebook = place.notebook("probe", "from probe import run", "run(seed=7)")
    (notebook.parent / "probe.py").write_text(PROBE)
    guarded = Kernel(place, "guarded", mitosis("experiment=probe"), repository)
    try:
        bare = Kernel(place, "bare", [*jupyter_execute(), str(notebook)], notebook.parent)
        try:
            yield guarded, bare
        finally:
            bare.end()
    finally:
        guarded.end()


@contextlib.contextmanager
def _computes(place: Place) -> Iterator[Sides]:
    size = place.size(3_000_000, 30_000)
    with kernels(place) as (guarded, bare):
        yield Sides(ours=lambda: guarded.work("compute", size), theirs=lambda: bare.work("compute", size))


@contextlib.contextmanager
def _opens(place: Place) -> Iterator[Sides]:
    real = place.path / "tiny"
    if not real.exists():
        real.mkdir()
        for number in range(place.size(10_000, 100)):
            (real / f"{number:05}.txt").write_text(f"{number}\n")
    links = place.path / "links"
    links.mkdir(exist_ok=True)
    number = len(list(links.iterdir()))

    def folder() -> str:
        """The same files under paths that no kernel has opened yet."""
        nonlocal number
        number += 1
        link = links / str(number)
        link.symlink_to(real)
        return str(link)

    with kernels(place) as (guarded, bare):
        yield Sides(ours=lambda: guarded.work("opens", folder()), theirs=lambda: bare.work("opens", folder()))


ROWS = (
    Row("guard-cpu", "the guard, CPU-bound", "the same function without it", 1.02, _computes, pairs=25),
    Row(
        "guard-files",
        "the guard, 10,000 files opened",
        "the same function without it",
        1.15,
        _opens,
        pairs=25,
    ),
)
