"""`python -m tests.bench faults`: kills the launcher of a sweep again and again; what is the record then?"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import project as projects
from tests.processes import Handles, command
from tests.project import Project

LONGER = 1.2  # the latest kill, in times of a first sweep that was left alone
IN_SWEEP = 0.6  # of the kills count from the sweep's beginning: to start takes longer than these trials
MORE = 4  # jobs by which the sweep grows whenever it has come to its end
TOKEN = "MITOSIS_FAULTS"  # in the environment of all that is started: how what is left is found

TOY = '''\
"""Prints, writes a file, starts a child, and takes a moment."""

import subprocess
import sys
import time


def run(seed, x=1.0):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    for number in range(3):
        print("seed", seed, "step", number, flush=True)
        time.sleep(0.02)
    if seed % 2:
        child.kill()  # the others are left for whoever clears up
        child.wait()
    return {"main": seed + x, "loss": x / 2}
'''


@dataclass(frozen=True)
class Finding:
    """What there is after the last kill: `wrong` says it in words, one line for each fault."""

    kills: int
    jobs: int
    seconds: float
    statuses: dict[str, int]
    wrong: tuple[str, ...]


def torment(
    directory: Path,
    kills: int,
    seed: int,
    tell: Callable[[str], None] = lambda _line: None,
) -> Finding:
    """Kill the launcher of a sweep at `kills` random moments, let it end, and look at what it left."""
    token, chance = secrets.token_hex(8), random.Random(seed)
    project = projects.make(directory / "my 'own' projéct")
    project.write("toy.py", TOY)
    project.commit()
    began = time.monotonic()
    first = project.run(*_words(MORE), **{TOKEN: token})
    if first.returncode != 0:
        return Finding(0, MORE, 0.0, {}, (f"the first sweep ended with {first.returncode}: {first.stderr}",))
    longest = LONGER * (time.monotonic() - began)
    jobs, done = 2 * MORE, 0
    while done < kills:
        moment, begun = chance.uniform(0.0, longest), chance.random() < IN_SWEEP
        launcher = _start(project, jobs, token)
        assert launcher.stdout is not None
        if begun:  # the clock starts when the first word of the sweep is heard: nothing is written before
            launcher.stdout.readline()
        try:
            code = launcher.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            os.kill(launcher.pid, signal.SIGKILL)
            launcher.wait()
            launcher.stdout.close()
            done += 1
            if done % 10 == 0:
                tell(f"{done} kills, {jobs} jobs, {time.monotonic() - began:.0f} s")
            continue
        launcher.stdout.close()
        if code != 0:
            return Finding(
                done, jobs, time.monotonic() - began, {}, (f"a sweep left alone ended with {code}",)
            )
        jobs += MORE
    last = project.run(*_words(jobs), **{TOKEN: token})
    wrong = [] if last.returncode == 0 else [f"the last sweep ended with {last.returncode}: {last.stderr}"]
    statuses, more = _record(project, jobs)
    wrong += [*more, *_left(token)]
    return Finding(done, jobs, time.monotonic() - began, statuses, tuple(wrong))


def _words(jobs: int) -> list[str]:
    return ["-m", "experiment=toy", "params=one", f"seed=range(0,{jobs})", "mitosis.rerun=missing"]


def _start(project: Project, jobs: int, token: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mitosis", *_words(jobs)],
        cwd=project.path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,  # what a sweep of these says fits into the pipe
        stderr=subprocess.DEVNULL,
        env={**os.environ, TOKEN: token},
        start_new_session=True,
    )


def _record(project: Project, jobs: int) -> tuple[dict[str, int], list[str]]:
    """How many trials of each status there are, and what of the record is not as it has to be."""
    checked = project.run("check", "--json")
    trials: list[dict[str, Any]] = project.json("ls", "--limit", "0")
    statuses = Counter(trial["status"] for trial in trials)
    succeeded = Counter(trial["seed"] for trial in trials if trial["status"] == "succeeded")
    wrong = []
    if checked.returncode != 0:
        wrong.append(
            f"check ends with {checked.returncode}: {checked.stdout[-2000:]}{checked.stderr[-2000:]}"
        )
    if succeeded != Counter(range(jobs)):
        odd = {seed: succeeded[seed] for seed in range(jobs) if succeeded[seed] != 1}
        wrong.append(f"not exactly once succeeded, by seed: {odd}")
    wrong += [f"{trial['id']} is running" for trial in trials if trial["status"] == "running"]
    wrong += [f"{trial['id']} has no page" for trial in trials if _empty(trial)]
    return dict(statuses), wrong


def _empty(trial: dict[str, Any]) -> bool:
    """Whether a trial whose notebook was saved has no page."""
    return trial["notebook"] is not None and trial["html"] is None


def _left(token: str) -> list[str]:
    """The processes that were started by the sweeps and do not end by themselves."""
    handles = Handles(_bearing(token))
    try:
        return [f"left running: {name}" for name in handles.gone(20.0)]
    finally:
        handles.close()


def _bearing(token: str) -> Iterator[int]:
    mark = f"{TOKEN}={token}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and command(int(entry.name)):
                yield int(entry.name)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(words: Sequence[str]) -> int:
    """Torment as `words` say and print what was found, as JSON; 0 where nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--place", type=Path, metavar="DIR", help="work in DIR, new, and keep it")
    given = parser.parse_args(words)
    with contextlib.ExitStack() as stack:
        directory = given.place or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = directory / "gitconfig"
        directory.mkdir(parents=True, exist_ok=True)
        config.write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n")
        os.environ |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": str(config)}
        found = torment(directory, given.kills, given.seed, tell=_tell)
    print(json.dumps({**found.__dict__, "wrong": list(found.wrong)}, indent=1))
    return 1 if found.wrong else 0
