"""Tells the user's files from those of Python, of the system and of mitosis."""

from __future__ import annotations

import os
import site
import sys
import sysconfig

_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/dev", "/run")


def _existing(paths: list[str | None]) -> tuple[str, ...]:
    """Each path with its real one, each once, ending in a separator so that `startswith` means `below`."""
    found: dict[str, None] = {}
    for path in paths:
        if path:
            found[path.rstrip(os.sep) + os.sep] = None
            found[os.path.realpath(path).rstrip(os.sep) + os.sep] = None
    return tuple(p for p in found if p != os.sep)


def python() -> tuple[str, ...]:
    """The directories of the interpreter, its standard library and its installed distributions."""
    paths = sysconfig.get_paths()
    given = [paths.get(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    given += [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    if site.ENABLE_USER_SITE:
        given.append(site.getusersitepackages())
    return _existing(given)


def not_inputs(*private: str) -> tuple[str, ...]:
    """The directories whose files are no inputs: Python's, the system's, the user's homes of caches and
    configuration, and `private` (the root, git's directory, the kernel's own).
    """
    home = os.path.expanduser("~")  # noqa: PTH111 - a text is what is compared
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")  # noqa: PTH118
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")  # noqa: PTH118
    own = [os.path.join(home, name) for name in (".ipython", ".jupyter", ".matplotlib")]  # noqa: PTH118
    return (*python(), *_existing([*_SYSTEM, cache, config, *own, *private]))
