"""Tells the user's files from those of Python, of the system and of mitosis."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import FrameType

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/dev", "/run")
"""Where the system keeps its own; nothing there is the user's."""


@dataclass(frozen=True)
class Border:
    """Directories that are foreign and directories that are the user's; the innermost decides for a path.

    All are texts that end in a separator. A virtual environment may lie in the repository, and the
    repository below Python's prefix: either way the nearer one is meant.
    """

    foreign: tuple[str, ...]
    own: tuple[str, ...]
    _around: tuple[str, ...] = field(init=False)  # foreign directories that hold one of the user's

    def __post_init__(self) -> None:
        around = tuple(f for f in self.foreign if any(o.startswith(f) for o in self.own))
        object.__setattr__(self, "_around", around)

    def beyond(self, path: str) -> bool:
        """Is the absolute `path` foreign."""
        if not path.startswith(self.foreign):
            return False
        if not path.startswith(self._around):
            return True
        return _longest(path, self.foreign) > _longest(path, self.own)


def _longest(path: str, directories: Iterable[str]) -> int:
    return max((len(d) for d in directories if path.startswith(d)), default=0)


def directories(paths: Iterable[str | None]) -> tuple[str, ...]:
    """Each path with its real one, each once, ending in a separator so that `startswith` means `below`."""
    found: dict[str, None] = {}
    for path in paths:
        if path:
            found[path.rstrip(os.sep) + os.sep] = None
            found[os.path.realpath(path).rstrip(os.sep) + os.sep] = None
    return tuple(p for p in found if p != os.sep)


def installed() -> list[str | None]:
    """Where distributions are installed."""
    paths = sysconfig.get_paths()
    given: list[str | None] = [paths.get(name) for name in ("purelib", "platlib")]
    if hasattr(site, "getsitepackages"):  # old virtual environments have none
        given += site.getsitepackages()
    if site.ENABLE_USER_SITE:
        given.append(site.getusersitepackages())
    return given


def code(*own: str) -> Border:
    """The border around the code of Python and of installed distributions; `own` are the user's sources."""
    paths = sysconfig.get_paths()
    foreign = [paths.get(name) for name in ("stdlib", "platstdlib")] + installed()
    return Border(directories(foreign), directories(own))


def data(*private: str, own: Iterable[str] = ()) -> Border:
    """The border around files that are no inputs: Python's, the system's, the user's homes of caches and
    configuration, and those in `private` (the root, git's directory); `own` counts wherever it lies.
    """
    paths = sysconfig.get_paths()
    python = [paths.get(name) for name in ("stdlib", "platstdlib")] + installed()
    python += [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    home = os.path.expanduser("~")  # noqa: PTH111 - a text is what is compared
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")  # noqa: PTH118
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")  # noqa: PTH118
    tools = [os.path.join(home, name) for name in (".ipython", ".jupyter", ".matplotlib")]  # noqa: PTH118
    foreign = directories([*python, *SYSTEM, cache, config, *tools, *private, _OURS])
    return Border(foreign, directories(own))


_CELLS = ("<ipython-input", "ipykernel_")  # how the code of a notebook's cell is called
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120


def users_line(frame: FrameType | None, border: Border, harmless: Iterable[str] = ()) -> str:
    """file:line of the innermost frame of the user's code; the notebook's cell where that is nearer.

    '' where there is none, while a module is imported that is not the user's, and below a function of
    one of the packages `harmless`.
    """
    while frame is not None:
        file = frame.f_code.co_filename
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if any(mark in file for mark in _CELLS):
            return "a cell of the notebook"
        if file.startswith("<frozen importlib") or (package in harmless and border.beyond(file)):
            return ""
        if os.path.isabs(file) and not border.beyond(file) and not file.startswith(_OURS):  # noqa: PTH117
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
