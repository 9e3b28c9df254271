"""Gives each matplotlib figure that the notebook shows its title as metadata, so that files get names."""

from __future__ import annotations

from typing import Any


def title(figure: Any) -> str:
    """The title a person would call the figure by: of the figure, else of its first titled axes, else ''."""
    heading = figure.get_suptitle() if hasattr(figure, "get_suptitle") else ""
    for axes in figure.axes:
        heading = heading or axes.get_title() or axes.get_title("left") or axes.get_title("right")
    return str(heading or figure.get_label() or "")


def name_by_title(shell: Any) -> None:
    """Let `shell` send `mitosis.title` with every figure, by IPython's own formatter, without matplotlib."""

    def titled(figure: Any, **_options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {"mitosis": {"title": title(figure)}}

    formatter = shell.display_formatter.mimebundle_formatter
    formatter.for_type_by_name("matplotlib.figure", "Figure", titled)
