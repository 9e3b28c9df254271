"""A user's repository whose experiment ends in every way, on the launcher and the store of a test."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mitosis.cli import answers
from mitosis.store import Store
from tests import project
from tests.engines.engine import until

ZOO = """\
import os
import signal
import sys
import time
from pathlib import Path


def run(seed, kind, place):
    (Path(place) / f"begun-{kind}-{seed}").touch()
    if kind == "fails":
        raise ValueError("the experiment gives up")
    if kind == "exits":
        sys.exit(3)
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    while kind == "slow" and not (Path(place) / "go").exists():
        time.sleep(0.02)
    return {"main": seed, "loss": 1.0}
"""
KINDS = ("slow", "fine", "fails", "exits", "dies")


@dataclass(frozen=True)
class Zoo:
    """The repository, the launcher's part of the command line, and the environment of the engine."""

    repository: project.Project
    place: Path  # where its trials say that they have begun, and wait for the file `go`
    launcher: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        words = ("-m", "experiment=zoo", *self.launcher, *arguments)
        return self.repository.start(*words, **self.env, **env)

    def sweep(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return ended(self.start(*arguments, **env))

    def trials(self) -> list[dict[str, Any]]:
        """All trials, as `mitosis ls --json` answers."""
        done = self.repository.run("ls", "--limit", "0", "--json", **self.env)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def whole(self) -> list[dict[str, Any]]:
        """All trials, as `mitosis show --json` answers; without a process for each."""
        names = [trial["id"] for trial in self.trials()]
        url = self.env.get("MITOSIS_STORE") or str(self.repository.path / "trials" / "mitosis.db")
        with Store.open(url) as store:
            found = [store.get(name) for name in names]
            return [answers.whole(each, store.environment(each.spec.environment)) for each in found]

    def begun(self, kind: str, seed: int) -> None:
        """Wait until the experiment runs."""
        until((self.place / f"begun-{kind}-{seed}").exists, f"{kind} with seed {seed}", 120)

    def go(self) -> None:
        """Let the slow ones end."""
        (self.place / "go").touch()

    def process_of(self, kind: str, seed: int) -> dict[str, Any]:
        """The launcher's process of a trial that runs, from its folder."""
        for document in self.documents():
            if document["spec"]["variant"] == kind and document["spec"]["seed"] == seed:
                process: dict[str, Any] = document["spec"]["process"]
                return process
        raise AssertionError(f"no trial {kind} with seed {seed}")

    def documents(self) -> list[dict[str, Any]]:
        files = (self.repository.path / "trials" / "zoo").glob("*/trial.json")
        return [json.loads(file.read_text()) for file in files]


def make(path: Path, launcher: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Zoo:
    """A new repository below `path`."""
    made = project.make(path / "zoo")
    place = path / "place"
    place.mkdir()
    made.write("zoo.py", ZOO)
    made.write("conf/experiment/zoo.yaml", "module: zoo\n")
    for kind in KINDS:
        made.write(f"conf/params/{kind}.yaml", f"kind: {kind}\nplace: {place}\n")
    made.write("conf/params/refused.yaml", f"kind: fine\nplace: {place}\nseed: 1\n")
    made.commit()
    return Zoo(made, place, launcher, env or {})


def close(process: subprocess.Popen[str]) -> None:
    """Read no more of a process that has ended."""
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What the command said when it ended; it is killed where it hangs."""
    try:
        out, err = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
        raise AssertionError(f"the command hangs\n{out[-3000:]}\n{err[-3000:]}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
