"""Keeps the content of each environment once below the root: a store made anew from the folders needs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mitosis.folder import ENVIRONMENTS, read_json, write_json
from mitosis.trial import JSON, Remark


def keep(root: Path, digest: str, content: Mapping[str, JSON]) -> Remark | None:
    """Write `content` to `<root>/environments/<digest>.json`, unless it is there.

    Returns a note where that cannot be; the store has it all the same.
    """
    file = root / ENVIRONMENTS / f"{digest}.json"
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, dict(content))
    except OSError as error:
        what = f"the environment is in the store alone: {error.strerror or error}"
        return Remark("environment_unkept", what, str(file))
    return None


def read(root: Path, digest: str) -> dict[str, JSON] | None:
    """The content of the environment with that digest; None where it is not there or cannot be read."""
    try:
        content = read_json(root / ENVIRONMENTS / f"{digest}.json")
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
