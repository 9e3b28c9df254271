"""The directory in which the benchmark works: a user's repository, notebooks, an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NOOP = 'def run(seed):\n    return {"main": seed}\n'

BURN = '''\
import time


def run(seed, seconds=2.0):
    """Burn CPU time: so much of it, however busy the machine is."""
    end = time.process_time() + seconds
    total = 0
    while time.process_time() < end:
        total += sum(range(10_000))
    return {"main": total}
'''

CONFIG = "defaults:\n  - params: none\n  - experiment: ???\n  - seed\n  - _self_\n"


@dataclass(frozen=True)
class Place:
    """A directory of the benchmark's own; `quick` asks for sizes that only show that all of it works."""

    path: Path
    quick: bool = False

    def size(self, full: int, quick: int) -> int:
        """`full`, or `quick` where only the harness itself is tried."""
        return quick if self.quick else full

    def environ(self) -> dict[str, str]:
        """The environment of everything that is measured: no configuration of the user's has a part in it."""
        home = self.path / "home"
        home.mkdir(exist_ok=True)
        git = home / "gitconfig"
        git.write_text(
            "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
        )
        foreign = (
            "GIT_",
            "MITOSIS_",
            "JUPYTER",
            "IPYTHON",
            "XDG_",
            "PYTHON",
            "COV_",
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        tools = str(Path(sys.executable).parent)
        return kept | {
            "HOME": str(home),
            "GIT_CONFIG_GLOBAL": str(git),
            "GIT_CONFIG_NOSYSTEM": "1",
            "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def git(self, repository: Path, *arguments: str) -> None:
        """Run git in `repository`; it must succeed."""
        subprocess.run(
            ["git", *arguments], cwd=repository, env=self.environ(), check=True, capture_output=True
        )

    def repository(self, name: str, files: Mapping[str, str] | None = None) -> Path:
        """The repository `name`, made where it is not there: conf/ and the experiments `noop` and `burn`."""
        top = self.path / name
        if (top / ".git" / "made").exists():
            return top
        content = {
            "conf/config.yaml": CONFIG,
            "conf/seed.yaml": "# @package _global_\nseed: 0\n",
            "conf/params/none.yaml": "{}\n",
            "conf/experiment/noop.yaml": "module: noop\n",
            "conf/experiment/burn.yaml": "module: burn\n",
            "noop.py": NOOP,
            "burn.py": BURN,
            ".gitignore": "__pycache__/\n",
            **(files or {}),
        }
        for path, text in content.items():
            file = top / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        self.git(top, "init", "--quiet")
        self.git(top, "add", "--all")
        self.git(top, "commit", "--quiet", "--message", "first")
        (top / ".git" / "made").touch()
        return top

    def notebook(self, name: str, *cells: str) -> Path:
        """A bare notebook with these code cells, for the interpreter of the benchmark."""
        path = self.path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        document = {
            "cells": [
                {
                    "cell_type": "code", "execution_count": None, "id": f"cell-{number}", "metadata": {},
                    "outputs": [], "source": source,
                }
                for number, source in enumerate(cells)
            ],
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                "language_info": {"name": "python"},
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }  # fmt: skip
        path.write_text(json.dumps(document), encoding="utf-8")
        return path


def mitosis(*arguments: str) -> list[str]:
    """The command line of mitosis, with the interpreter of the benchmark."""
    return [sys.executable, "-m", "mitosis", *arguments]
