"""One trial as the configuration asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mitosis.settings import Settings
from mitosis.trial import Variant


@dataclass(frozen=True, slots=True)
class Request:
    """One trial as the configuration asks for it."""

    experiment: str
    module: str
    function: str
    input_patterns: tuple[str, ...]
    params: Mapping[str, Any]  # resolved
    tracked: Any  # what is hashed: as params, seed-dependent leaves as their text
    seed: int
    label: str
    variants: tuple[Variant, ...]
    settings: Settings
    overrides: tuple[str, ...] = ()
    job: int | None = None
    instantiate: bool = False  # does `params` hold `_target_`
    expect: Mapping[str, str] = field(default_factory=dict)  # by metric: "< 0.01"
    changed_settings: Mapping[str, Any] = field(default_factory=dict)
