"""Refuses settings that would silently do nothing, or that no record can hold."""

from __future__ import annotations

from dataclasses import fields
from math import isfinite
from pathlib import Path

from mitosis import labels
from mitosis.errors import ConfigurationRefused
from mitosis.settings import Settings

FIGURE_FORMATS = ("png", "svg", "pdf", "jpeg")


def check(repository: Path, settings: Settings, sweep: bool) -> None:
    """Raise ConfigurationRefused for the first value that cannot be meant; `sweep`: it is a multirun."""
    _texts(settings)
    _numbers(settings)
    _directories(repository, settings)
    odd = [f for f in settings.figure_formats if f not in FIGURE_FORMATS]
    if odd or not settings.figure_formats:
        known = ", ".join(FIGURE_FORMATS)
        raise ConfigurationRefused(
            f"mitosis.figure_formats does not know {', '.join(odd) or 'an empty list'}", f"it knows: {known}"
        )
    if settings.resume is not None and not sweep:
        todo = "go on with it by `mitosis resume`, or leave out mitosis.resume"
        raise ConfigurationRefused(f"mitosis.resume={settings.resume} names a sweep, and this is none", todo)
    for tag in settings.tags:
        labels.check(tag)
    if settings.project == "":
        todo = "leave it out: the project is the origin's address, or the first commit"
        raise ConfigurationRefused("mitosis.project is empty", todo)


def _texts(settings: Settings) -> None:
    """A list of texts holds texts: Hydra lets mappings and lists through."""
    for field in fields(Settings):
        value = getattr(settings, field.name)
        odd = [v for v in value if not isinstance(v, str)] if isinstance(value, list) else []
        if odd:
            raise ConfigurationRefused(
                f"mitosis.{field.name} holds {odd[0]!r}, which is no text",
                f"it is a list of texts: mitosis.{field.name}=[one,'two words']",
            )


def _numbers(settings: Settings) -> None:
    if settings.timeout is not None and not (settings.timeout > 0 and isfinite(settings.timeout)):
        todo = "give seconds, or leave it out: mitosis.timeout=3600"
        raise ConfigurationRefused(f"mitosis.timeout={settings.timeout:g} is no time limit", todo)
    for name in ("grace", "patience"):
        value = getattr(settings, name)
        if not (value >= 0 and isfinite(value)):
            todo = f"give seconds: mitosis.{name}=10"
            raise ConfigurationRefused(f"mitosis.{name}={value:g} is no time to wait", todo)
    if settings.snapshot_max_file < 0:
        todo = "give bytes: mitosis.snapshot_max_file=50000000"
        raise ConfigurationRefused(
            f"mitosis.snapshot_max_file={settings.snapshot_max_file} is no size of a file", todo
        )


def _directories(repository: Path, settings: Settings) -> None:
    for name in settings.source_roots:
        if not (repository / name).is_dir():
            raise ConfigurationRefused(
                f"mitosis.source_roots names {name}, which is no directory of {repository}",
                "name directories relative to the repository's top",
            )
    for name in settings.share:
        if not (repository / name).exists():
            raise ConfigurationRefused(
                f"mitosis.share names {name}, which is not in {repository}",
                "name ignored files and directories, relative to the repository's top",
            )
