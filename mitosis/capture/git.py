"""The one door to the git process: a clean environment, settings that hide nothing, errors in plain words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mitosis.errors import RepositoryRefused

# Of the user's GIT_* variables only these go on to git: they say which configuration to read, where git
# itself lies and how to reach a remote. The others (GIT_DIR, GIT_INDEX_FILE, GIT_WORK_TREE, ...) make git
# speak of another tree, which is what happens to a trial that is started from a git hook.
_KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT",
         "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH", "GIT_SSH",
         "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "GIT_ALLOW_PROTOCOL")  # fmt: skip
_KEPT_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "GIT_LFS_", "GIT_SSL_", "GIT_HTTP_")

_OURS = {
    "LC_ALL": "C",  # messages are read below
    "GIT_OPTIONAL_LOCKS": "0",  # looking never writes
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",  # `git replace` shows another commit under the recorded hash
    "GIT_LITERAL_PATHSPECS": "1",  # a file may be called `*.py`
}

_SETTINGS = (
    "core.fsmonitor=false",  # a hook that says "nothing changed" is believed
    "core.untrackedCache=false",
    "core.trustctime=true",  # an edit of the same size under a restored mtime shows in ctime alone
    "core.checkStat=default",
    "core.ignoreStat=false",
    "core.hooksPath=/dev/null",  # the user's hooks are theirs: nothing of ours runs them
    "core.splitIndex=false",  # a private index must not leave its other half in .git
    "core.safecrlf=false",  # a warning about line ends is no reason to fail
    "core.filesRefLockTimeout=1000",  # milliseconds; many workers keep the same commit at once
    "submodule.recurse=false",
)


def environment() -> dict[str, str]:
    """The environment git runs in: the user's, without what makes git speak of something else."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return {**kept, **_OURS}


def attempt(
    directory: Path,
    *arguments: str,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
    settings: Iterable[str] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run git in `directory` and return what it said, whatever its exit code.

    `extra` are variables of its environment, `settings` are `key=value` of its configuration; both
    win over the user's. Raises RepositoryRefused where there is no git.
    """
    options = [part for setting in (*_SETTINGS, *settings) for part in ("-c", setting)]
    command = ["git", *options, "-C", str(directory), *arguments]
    try:
        return subprocess.run(
            command, input=stdin, capture_output=True, env={**environment(), **(extra or {})}, check=False
        )
    except (FileNotFoundError, PermissionError) as e:
        raise RepositoryRefused(
            "git was not found on PATH: without it the code of a trial cannot be recorded",
            "install git (for example: apt install git, brew install git, conda install git)",
        ) from e
    except OSError as e:
        raise RepositoryRefused(
            f"git could not be started: {e}", "free memory or processes, then retry"
        ) from e


def run(
    directory: Path,
    *arguments: str,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
    settings: Iterable[str] = (),
) -> bytes:
    """What git wrote to its standard output; RepositoryRefused, in plain words, where it failed."""
    answer = attempt(directory, *arguments, stdin=stdin, extra=extra, settings=settings)
    if answer.returncode != 0:
        raise refusal(directory, arguments[0], answer.stderr)
    return answer.stdout


def refusal(directory: Path, command: str, stderr: bytes) -> RepositoryRefused:
    """The error for what git wrote to its standard error when `git command` failed in `directory`."""
    said = os.fsdecode(stderr).strip()
    place = shown(str(directory))
    if "detected dubious ownership" in said:
        owned = _between(said, "in repository at '", "'\n") or str(directory)
        return RepositoryRefused(
            f"the repository {shown(owned)} belongs to another user, and git refuses to read it",
            f"if you trust it: git config --global --add safe.directory {quoted(owned)}",
        )
    if "not a git repository" in said:
        return RepositoryRefused(
            f"{place} is in no git repository, so there is no commit to record",
            "run inside the repository of your experiment, or make one: mitosis init DIR",
        )
    if "must be run in a work tree" in said or "cannot use bare repository" in said:
        return RepositoryRefused(
            f"{place} is a bare repository or the inside of a .git directory: it has no files to run",
            "run from a working tree: git clone it, or change to the directory that holds your files",
        )
    lines = [line for word in ("fatal:", "error:") for line in said.splitlines() if line.startswith(word)]
    reason = "; ".join(lines[:2]) or said.partition("\n")[0] or "it gave no reason"
    return RepositoryRefused(
        f"git {command} failed in {place}: {reason}",
        "`git status` and `git fsck` there may say more",
    )


def directory(repository: Path) -> Path:
    """The private git directory of a working tree: its `.git`, or where the file `.git` points to.

    Read as gitrepository-layout(5) says, without a process. Raises RepositoryRefused where there is none.
    """
    dot = repository / ".git"
    try:
        if dot.is_dir():
            return dot
        pointer = dot.read_bytes().removeprefix(b"gitdir: ").rstrip(b"\r\n")
    except OSError as e:
        raise RepositoryRefused(
            f"{shown(str(repository))} is not the top of a working tree: {e.strerror or e}",
            "`git status` there says what git makes of it",
        ) from e
    return (repository / os.fsdecode(pointer)).resolve()


def common_directory(own: Path) -> Path:
    """The git directory that all working trees of a repository share, given that of one of them."""
    try:
        return (own / os.fsdecode((own / "commondir").read_bytes().rstrip(b"\r\n"))).resolve()
    except FileNotFoundError:
        return own


def links(repository: Path, commit: str) -> dict[str, str]:
    """The submodules of a commit: path -> the commit recorded for it."""
    found = {}
    for record in run(repository, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        if record.startswith(b"160000 "):
            words, _, path = record.partition(b"\t")
            found[os.fsdecode(path)] = words.split(b" ")[2].decode()
    return found


def shown(path: str) -> str:
    """A path as one unmistakable piece of a line: quoted and escaped where it is not plain text."""
    plain = path.isprintable() and path == path.strip() and not set(path) & set("\"'\\,;:")
    if path and plain and not path.startswith("-"):
        return path
    return '"' + "".join(map(_escaped, path)) + '"'


NAMED = 10
"""How many files a message names before it counts."""


def listed(names: Sequence[str]) -> str:
    """Names as one piece of a line: at most ten of them, then how many more."""
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest


def quoted(path: str) -> str:
    """A path as a shell takes it, for the commands that a message suggests."""
    import shlex

    return shlex.quote(path)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8, as Python keeps it in a str
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _between(text: str, start: str, end: str) -> str:
    _, found, rest = text.partition(start)
    return rest.partition(end)[0] if found else ""
