"""How a chart looks: its axes, colours and title, and the file that is made of it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair

FORMATS = ("png", "svg", "pdf", "html")
_SPEC = re.compile(r"^ *const spec = .*$", re.MULTILINE)
_SIZE = {"width": 520, "height": 320}
_LOG = 50  # an axis whose largest number is so many times its smallest is logarithmic
_HUES = 10  # of Vega's own scheme
_PAGE = """<head>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <style>body { margin: 0 auto; max-width: 50rem }</style>"""  # as wide as a phone, and readable on a desk


def scale(values: Sequence[float]) -> Any:
    """Of an axis with such numbers: it need not begin at 0, and may be logarithmic."""
    import altair as alt

    wide = min(values) > 0 and max(values) / min(values) >= _LOG
    return alt.Scale(type="log") if wide else alt.Scale(zero=False)


def numbers() -> Any:
    """The labels of an axis of numbers."""
    import altair as alt

    return alt.Axis(labelSeparation=10)  # those of a logarithmic axis come close


def axis(labels: Sequence[str]) -> Any:
    """The labels of an axis of names, turned where they are long."""
    import altair as alt

    return alt.Axis(labelAngle=0 if sum(map(len, labels)) < 70 else -30, labelLimit=260)


def hues(groups: int) -> dict[str, Any]:
    """The colours of so many groups: twice as many where Vega's ten would come again."""
    import altair as alt

    return {"scale": alt.Scale(scheme="tableau20")} if groups > _HUES else {}


def finished(chart: Any, title: str, subtitle: str) -> Any:
    """The chart with its title and its size."""
    heading = {"text": title, "subtitle": subtitle, "anchor": "start", "subtitleColor": "#59626e"}
    drawn = chart.properties(title=heading, background="white", padding=12, **_SIZE)
    return drawn.configure_view(stroke=None).configure_axis(gridColor="#e8eaee")


def rendered(chart: altair.TopLevelMixin, kind: str) -> bytes:
    """The chart as a file of that format: png, svg, pdf, or html that holds all it needs."""
    if kind in ("png", "pdf"):
        made = io.BytesIO()
        chart.save(made, format=kind, **({"scale_factor": 2} if kind == "png" else {}))
        return made.getvalue()
    text = io.StringIO()
    if kind == "html":
        wide: Any = chart.properties(width="container")
        wide.configure_legend(orient="bottom").save(text, format=kind, inline=True)
    else:
        chart.save(text, format=kind)
    page = text.getvalue().replace("<head>", _PAGE, 1)
    return _SPEC.sub(_escaped, page).encode("utf-8", "replace")


def _escaped(line: re.Match[str]) -> str:
    """The line of a page that holds the chart as JSON: no text of the user's ends the script around it."""
    return line[0].replace("<", "\\u003c")


def available() -> bool:
    """Whether the packages that draw are installed."""
    from importlib.util import find_spec

    return find_spec("altair") is not None and find_spec("vl_convert") is not None
