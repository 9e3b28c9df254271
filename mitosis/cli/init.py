"""`mitosis init`: a directory with a first experiment, ready to run."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitosis.capture import git
from mitosis.cli import tables
from mitosis.errors import Refused

if TYPE_CHECKING:
    from importlib.abc import Traversable  # moved to importlib.resources.abc in Python 3.11

_RENAMED = {"gitignore": ".gitignore"}  # a .gitignore in the package would hide files of the package itself


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def command(directory: Path) -> int:
    """Make DIRECTORY with conf/, an experiment, a README and a first commit, so that it runs at once.

    Inside a repository only the files are made. Nothing that exists is ever overwritten.
    """
    target = directory.absolute()
    files = {target / name: content for name, content in _files()}
    existing = sorted(f for f in files if f.exists() or f.is_symlink())
    if existing:
        raise Refused(
            f"{existing[0].relative_to(target)} exists in {target} already: nothing was written",
            "choose a new directory: mitosis init DIRECTORY",
        )
    try:
        for file, content in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refused(f"{target} cannot be written: {reason}", "choose another directory") from error
    top = _around(target)
    print("\n".join(f"made {f.relative_to(target)}" for f in files))
    if top is None:
        _first_commit(target)
        print(f"made the repository {target} with a first commit")
    else:
        _inside(top, target)
        return 0
    where = "" if target == Path.cwd() else f"cd {git.shown(str(directory))} && "
    tables.hint(f"{where}mitosis experiment=pi params=fast seed=7")
    return 0


def _inside(top: Path, target: Path) -> None:
    """What a user of an existing repository does next: conf/ is looked for at its top."""
    below = target.relative_to(top.resolve()) if target.is_relative_to(top.resolve()) else target
    conf = "" if target == top else f"-cp {git.quoted(str(target / 'conf'))} "
    roots = "" if target == top else f" 'mitosis.source_roots=[{below}]'"
    print(f"inside the repository {top}: commit these files before the first run")
    tables.hint(f"git add . && git commit, then mitosis {conf}experiment=pi params=fast seed=7{roots}")


def _files() -> list[tuple[str, bytes]]:
    """(path, content) of every file of the template."""
    template = resources.files("mitosis.cli") / "template"
    found: list[tuple[str, bytes]] = []

    def walk(folder: Traversable, below: str) -> None:
        for entry in sorted(folder.iterdir(), key=lambda e: e.name):
            name = _RENAMED.get(entry.name, entry.name)
            if entry.is_dir():
                if name != "__pycache__":
                    walk(entry, f"{below}{name}/")
            else:
                found.append((below + name, entry.read_bytes()))

    walk(template, "")
    return found


def _around(target: Path) -> Path | None:
    answer = git.attempt(target, "rev-parse", "--show-toplevel")
    return Path(answer.stdout.decode().strip()) if answer.returncode == 0 else None


def _first_commit(target: Path) -> None:
    """`git init` and a commit, under the user's own name where git knows one."""
    git.run(target, "init", "--quiet")
    git.run(target, "add", "--all")
    known = git.attempt(target, "var", "GIT_AUTHOR_IDENT").returncode == 0
    who = () if known else ("user.name=mitosis init", "user.email=mitosis@localhost")
    who = (*who, "commit.gpgsign=false")  # nobody is there to unlock the key
    made = git.attempt(target, "commit", "--quiet", "--message", "Begin", settings=who)
    if made.returncode != 0:
        raise git.refusal(target, "commit", made.stderr)
