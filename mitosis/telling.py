"""How values are told wherever they are shown: dotted names of parameters, durations, short digests."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

LEAST = 7  # digits of a digest that is shown
_TIMES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of everything in a mapping of parameters that is no mapping with entries itself.

    The names are those of `--where`: `model.kernel`, `["odd key"]`.
    """
    if isinstance(value, Mapping) and (value or not path):
        for key, item in value.items():
            yield from leaves(item, _below(path, key))
    else:
        yield path, value


def _below(path: str, key: Any) -> str:
    if isinstance(key, str) and re.fullmatch(r"\w[\w/-]*", key):
        return f"{path}.{key}" if path else key
    quoted = str(key).replace("\\", "\\\\").replace('"', '\\"')
    return f'{path}["{quoted}"]' if isinstance(key, str) else f"{path}[{key}]"


def shortest(digests: Collection[str]) -> dict[str, str]:
    """By digest, its shortest beginning that begins no other of them, of seven digits or more."""
    ordered = sorted(set(digests))
    shared = [0, *(_shared(one, other) for one, other in itertools.pairwise(ordered)), 0]
    return {
        digest: digest[: max(LEAST, before + 1, behind + 1)]
        for digest, (before, behind) in zip(ordered, itertools.pairwise(shared), strict=False)  # of none: one
    }


def _shared(one: str, other: str) -> int:
    """How many first characters two texts share."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: `0.012 s`, `75.3 s`, `2 h 3 min`; nothing where it is not known."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return "under 1 ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    parts = []
    rest = round(seconds)
    for size, unit in _TIMES:
        count, rest = divmod(rest, size)
        parts.append((count, unit))
    while not parts[0][0]:
        del parts[0]
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)
