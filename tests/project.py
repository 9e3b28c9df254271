"""A user's repository for the tests that run the command as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOY = '''\
"""A module beside conf/, outside any package."""


def run(seed: int, x: float = 1.0, fail: bool = False) -> dict:
    print(f"seed {seed}, x {x}")
    if fail:
        raise ValueError("the experiment gives up")
    return {"main": seed + x, "loss": x / 2}
'''

CONFIG = """\
defaults:
  - params: ???
  - experiment: ???
  - seed
  - _self_
"""


@dataclass(frozen=True)
class Project:
    """A repository with conf/ and a module, and the command run in it."""

    path: Path

    def write(self, name: str, content: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        return file

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str = "work") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def start(self, *arguments: str, cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        """The command as a process of its own session, so that signals reach it alone."""
        return subprocess.Popen(
            [sys.executable, "-m", "mitosis", *arguments],
            cwd=cwd or self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONWARNINGS": "", **env},
            start_new_session=True,
        )

    def run(self, *arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, cwd=cwd, **env)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments: str) -> Any:
        """What a reading command answers; it must succeed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self) -> str:
        return self.git("status", "--porcelain", "--untracked-files=all")


def make(path: Path) -> Project:
    """A clean project with the experiment `toy` and the variants `one`, `two` and `broken`."""
    project = Project(path)
    path.mkdir(parents=True)
    project.git("init", "--quiet")
    project.write("conf/config.yaml", CONFIG)
    project.write("conf/seed.yaml", "# @package _global_\nseed: 0\n")
    project.write("conf/experiment/toy.yaml", "module: toy\n")
    project.write("conf/params/one.yaml", "x: 1.0\n")
    project.write("conf/params/two.yaml", "x: 2.0\n")
    project.write("conf/params/broken.yaml", "fail: true\n")
    project.write("toy.py", TOY)
    project.write(".gitignore", "__pycache__/\n")
    project.commit("first")
    return project
