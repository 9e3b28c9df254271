"""Moves Hydra's configuration into the checkout that the code runs from."""

from __future__ import annotations

from pathlib import Path

from mitosis.app import inner
from mitosis.trial import CodeState


def pin(repository: Path, code: CodeState, sweep: bool) -> None:
    """Let every later composition read its YAML from `code.tree`.

    Hydra composes each job of a multirun when it starts, on some launchers in another process: without
    this an edit during the sweep would reach the later jobs. What lies outside the repository, and what
    the checkout does not hold, stays where it is.
    """
    tree = Path(code.tree)

    def moved(path: Path) -> Path:
        inside = tree / path.relative_to(repository) if path.is_relative_to(repository) else path
        return inside if inside.is_dir() else path

    if tree != repository:
        inner.move(moved)
    elif sweep:  # which the user wants to run in place: each job is what the files say when it starts
        inner.read_anew()
