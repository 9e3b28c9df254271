"""Fixtures that several test files share."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import project as project_of_tests


@dataclass(frozen=True)
class Repository:
    """A real git repository to work in; `git` is the real git under the test's own configuration."""

    path: Path

    def git(self, *arguments: str, cwd: Path | None = None, check: bool = True) -> str:
        answer = subprocess.run(
            ["git", *arguments], cwd=cwd or self.path, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0 or not check, answer.stderr
        return answer.stdout.removesuffix("\n")

    def write(self, name: str, content: str | bytes) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    def commit(self, message: str = "work") -> str:
        """Commit every file that is not ignored; returns the full hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def git_config(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The global git configuration of the test, cut off from the user's; returns the file."""
    home = tmp_path_factory.mktemp("git-home")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("SUDO_UID", raising=False)  # git trusts the repositories of that user, too
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    config = home / "gitconfig"
    config.write_text(
        "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
        '[protocol "file"]\n\tallow = always\n',
        encoding="utf-8",
    )
    return config


def make_repository(path: Path) -> Repository:
    """A repository at `path` with one commit; only under the fixture `git_config`."""
    path.mkdir(parents=True)
    made = Repository(path.resolve())
    made.git("init", "--quiet")
    made.write("code.py", "x = 1\n")
    made.write("lib/part.py", "y = 2\n")
    made.write(".gitignore", "ignored/\n")
    made.commit("first")
    return made


@pytest.fixture
def repository(tmp_path: Path, git_config: Path) -> Repository:
    """A clean repository with three files in one commit, in a directory with a hostile name."""
    return make_repository(tmp_path / "a 'hostile' näme")


@pytest.fixture
def project(tmp_path: Path, git_config: Path) -> project_of_tests.Project:
    """A user's repository with conf/ and a module, in a directory with a hostile name."""
    return project_of_tests.make(tmp_path / "my 'own' projéct")
