"""What the attempts to make a record false share: a home of their own, and words for what a record says."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

Record = dict[str, Any]


@contextlib.contextmanager
def cut_off(home: Path) -> Iterator[Path]:
    """In the environment git and IPython are cut off from the user's own settings."""
    (home / "gitconfig").write_text(
        "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
        '[protocol "file"]\n\tallow = always\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        yield home


def trial_of(project: Project, *arguments: str, code: int = 0, **env: str) -> Record:
    """The whole record of the trial that the command makes."""
    done = project.run(*arguments, **env)
    assert done.returncode == code, done.stdout + done.stderr
    record: Record = project.json("show", "@1")
    return record


def refusal_of(project: Project, *arguments: str, **env: str) -> str:
    """What is said where the command is refused; nothing may have run."""
    before = project.json("ls")
    done = project.run(*arguments, **env)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) <= 2
    assert project.json("ls") == before
    return done.stderr


def kinds(record: Record, where: str, what: str = "taints") -> set[str]:
    """The kinds of the taints (or notes) whose place ends in `where`."""
    return {r["kind"] for r in record[what] if r["where"].endswith(where)}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def reads(record: Record) -> dict[str, str]:
    """The digests of the inputs by path."""
    return {i["path"]: i["digest"] for i in record["inputs"]}


def site(directory: Path, name: str, editable: Path | None = None, version: str = "1.0") -> Path:
    """A directory on sys.path in which a distribution is installed; as pip does it for `-e`, or really."""
    metadata = directory / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if editable is not None:
        url = {"url": editable.as_uri(), "dir_info": {"editable": True}}
        (metadata / "direct_url.json").write_text(json.dumps(url))
    return directory
