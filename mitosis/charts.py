"""Draws statistics over trials, and logged series, with Altair: values in, a picture's bytes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mitosis import compare, groups, identity, looks
from mitosis.errors import Refused
from mitosis.series import Series, thinned
from mitosis.trial import JSON, Summary

if TYPE_CHECKING:
    import altair

KINDS = ("line", "points", "bars", "scatter", "heat")
_LINE_POINTS = 2000  # of one logged series
_INK = "#4c78a8"  # where nothing is told apart by its colour
_DOTS = 400  # at most, beside intervals that are of all trials
_BESIDE = 11  # pixels from an interval to the dots of its trials, which it would hide


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to draw: a metric, along one or two names, in colours by others; an empty kind is chosen."""

    metric: str = "main"
    x: str = ""
    y: str = ""  # the second swept name of a heat map
    by: tuple[str, ...] = ()
    kind: str = ""


def of_metric(experiment: str, trials: Sequence[Summary], wanted: Wanted) -> altair.TopLevelMixin:
    """The chart of a metric of `trials`: means and 95 % intervals as `compare` gives them, or each trial.

    Raises Refused where the trials have not what `wanted` names, or a kind cannot show it.
    """
    numbers = [(t, n) for t in trials if (n := groups.number(t, wanted.metric)) is not None]
    if not numbers:
        raise Refused(f"no trial has a number {wanted.metric!r}", "see what there is: mitosis ls --json")
    groups.check_names([t for t, _ in numbers], [n for n in (wanted.x, wanted.y, *wanted.by) if n])
    kind = wanted.kind or chosen_kind([t for t, _ in numbers], wanted)
    _check(kind, wanted)
    draw = {"heat": _heat, "scatter": _scatter, "line": _line, "points": _points, "bars": _bars}[kind]
    along = " and ".join(n for n in (wanted.x, wanted.y) if n) or _along(wanted)
    title = f"{experiment}: {wanted.metric}" + (f" by {along}" if along else "")
    what = "each trial" if kind == "scatter" else "mean" if kind == "heat" else "mean and 95 % interval"
    few = _thinning(len(numbers)) if kind == "points" else 1
    dots = f", one of every {few} as a dot" if few > 1 else ""
    return looks.finished(draw(numbers, wanted), title, f"{what}, {len(numbers)} trials{dots}")


def chosen_kind(trials: Sequence[Summary], wanted: Wanted) -> str:
    """Two names: a heat map. A measured number: a scatter. A swept number: a line. Otherwise points."""
    if wanted.y:
        return "heat"
    if not wanted.x:
        return "points"
    values = [groups.value_of(t, wanted.x) for t in trials]
    if not all(_is_number(v) for v in values):
        return "points"
    if wanted.x.startswith("metrics.") or wanted.x in ("main", "seconds", "cpu_seconds"):
        return "scatter"
    return "line" if len(set(values)) > 1 else "points"


def _check(kind: str, wanted: Wanted) -> None:
    if kind == "heat" and not (wanted.x and wanted.y):
        raise Refused("a heat map needs two names", "give both: --x params.a --y params.b")
    if kind == "heat" and wanted.by:
        raise Refused("a heat map has one colour scale: it cannot be split by --by", "leave --by out")
    if kind != "heat" and wanted.y:
        raise Refused(f"--y is for heat maps, not for {kind}", "leave --y out, or use --kind heat")
    if kind == "line" and not wanted.x:
        raise Refused("a line needs something to run along", "give it: --x params.dt")


# --- the kinds --------------------------------------------------------------------------------------


def _line(numbers: Sequence[tuple[Summary, float]], wanted: Wanted) -> Any:
    import altair as alt

    rows = _statistics(compare.grouped(numbers, _grouping(wanted)), wanted)
    if not all(_is_number(row["x"]) for row in rows):
        raise Refused(
            f"{wanted.x} is not a number in every trial: no line runs along it", "use --kind points"
        )
    x = alt.X("x:Q", title=wanted.x, scale=looks.scale([row["x"] for row in rows]), axis=looks.numbers())
    base = alt.Chart(_data(rows)).encode(x=x, **_colour(rows, wanted))
    band = base.mark_area(opacity=0.22).encode(y=alt.Y("low:Q", title=wanted.metric), y2="high:Q")
    line = base.mark_line(point=True).encode(
        y=alt.Y("mean:Q", title=wanted.metric, scale=alt.Scale(zero=False)), tooltip=_tips(wanted)
    )
    return band + line


def _points(numbers: Sequence[tuple[Summary, float]], wanted: Wanted) -> Any:
    """Means with their intervals, and beside them every trial as a dot: the axis need not begin at 0."""
    import altair as alt

    found = compare.grouped(numbers, _grouping(wanted))
    rows = _statistics(found, wanted)
    order = list(dict.fromkeys(str(row["place"]) for row in rows))
    x = alt.X("place:N", title=_along(wanted), sort=order, axis=looks.axis(order))
    y = alt.Y("mean:Q", title=wanted.metric, scale=alt.Scale(zero=False))
    split = {"xOffset": alt.XOffset("group:N")} if wanted.x and wanted.by else {}
    colour = _colour(rows, wanted)
    base = alt.Chart(_data(rows)).encode(x=x, **colour, **split)
    each = _each(found, wanted)  # in the order of their places: every place keeps its share
    dots = alt.Chart(_data(each[:: _thinning(len(each))])).encode(x=x, **colour, **split)
    return (
        dots.mark_circle(opacity=0.5, size=34, xOffset=_BESIDE).encode(
            y="value:Q", tooltip=["trial:N", "value:Q"]
        )
        + base.mark_rule(strokeWidth=2, color=_INK).encode(y=alt.Y("low:Q", title=wanted.metric), y2="high:Q")
        + base.mark_point(filled=True, opacity=1, size=90).encode(y=y, tooltip=_tips(wanted))
    )


def _thinning(trials: int) -> int:
    """Of how many trials one is drawn as a dot: thousands are a blot, and cost as much to draw as to read."""
    return -(-trials // _DOTS)


def _bars(numbers: Sequence[tuple[Summary, float]], wanted: Wanted) -> Any:
    import altair as alt

    rows = _statistics(compare.grouped(numbers, _grouping(wanted)), wanted)
    order = list(dict.fromkeys(str(row["place"]) for row in rows))
    split = {"xOffset": alt.XOffset("group:N")} if wanted.x and wanted.by else {}
    x = alt.X("place:N", title=_along(wanted), sort=order, axis=looks.axis(order))
    base = alt.Chart(_data(rows)).encode(x=x, **split)
    bars = base.mark_bar().encode(
        y=alt.Y("mean:Q", title=wanted.metric), tooltip=_tips(wanted), **_colour(rows, wanted)
    )
    return bars + base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q")


def _scatter(numbers: Sequence[tuple[Summary, float]], wanted: Wanted) -> Any:
    import altair as alt

    rows = _each(compare.grouped(numbers, _grouping(wanted)), wanted)
    along = [row["x"] for row in rows]
    if wanted.x and all(_is_number(v) for v in along):
        x: Any = alt.X("x:Q", title=wanted.x, scale=looks.scale(along), axis=looks.numbers())
    else:
        order = list(dict.fromkeys(str(row["place"]) for row in rows))
        x = alt.X("place:N", title=_along(wanted), sort=order, axis=looks.axis(order))
    y = alt.Y("value:Q", title=wanted.metric, scale=alt.Scale(zero=False))
    chart = alt.Chart(_data(rows)).mark_circle(size=60, opacity=0.7)
    return chart.encode(x=x, y=y, tooltip=["trial:N", "group:N", "value:Q"], **_colour(rows, wanted))


def _heat(numbers: Sequence[tuple[Summary, float]], wanted: Wanted) -> Any:
    import altair as alt

    found = compare.grouped(numbers, (wanted.x, wanted.y))
    rows: list[dict[str, Any]] = [
        {"x": _shown(g.key[0]), "y": _shown(g.key[1]), "mean": g.statistics.mean, "n": g.statistics.n}
        for g in found
    ]
    keys = [g.key for g in found]
    across = [_shown(v) for v in sorted({k[0] for k in keys}, key=groups.order)]
    up = [_shown(v) for v in sorted({k[1] for k in keys}, key=groups.order, reverse=True)]
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("x:N", title=wanted.x, sort=across, axis=looks.axis(across)),
        y=alt.Y("y:N", title=wanted.y, sort=up),
    )
    low, high = min(r["mean"] for r in rows), max(r["mean"] for r in rows)
    cells = base.mark_rect().encode(
        color=alt.Color("mean:Q", title=wanted.metric, scale=alt.Scale(scheme="viridis", zero=False)),
        tooltip=["x:N", "y:N", "mean:Q", "n:Q"],
    )
    dark = alt.condition(f"datum.mean < {(low + high) / 2!r}", alt.value("white"), alt.value("black"))
    return cells + base.mark_text(fontSize=11).encode(text=alt.Text("mean:Q", format=".4~g"), color=dark)


def of_series(name: str, found: Sequence[tuple[Summary, Series]], by: Sequence[str] = ()) -> Any:
    """The chart of a series by step, a line for each trial; coloured by trial, or by what `by` names."""
    import altair as alt

    rows: list[dict[str, JSON]] = []
    labels = _named([t for t, _ in found], by)
    for trial, one in found:
        few = thinned(one, _LINE_POINTS)
        for step, value in zip(few.steps, few.values, strict=True):
            finite = value == value and abs(value) != float("inf")
            rows.append(
                {
                    "x": step,
                    "value": value if finite else None,
                    "trial": trial.id,
                    "group": labels[trial.id],
                }
            )
    chart = alt.Chart(_data(rows)).mark_line(strokeWidth=1.5)
    drawn = chart.encode(
        x=alt.X("x:Q", title="step", scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y("value:Q", title=name, scale=alt.Scale(zero=False)),
        color=alt.Color(
            "group:N",
            title=", ".join(by) or "trial",
            legend=alt.Legend(labelLimit=400),
            **looks.hues(len(set(labels.values()))),
        ),
        detail="trial:N",
        tooltip=["group:N", "x:Q", "value:Q"],
    )
    return looks.finished(drawn, f"{found[0][0].experiment}: {name}", f"{len(found)} trials")


# --- rows ---------------------------------------------------------------------------------------------


def _grouping(wanted: Wanted) -> tuple[str, ...]:
    return tuple(n for n in (wanted.x, *wanted.by) if n) or ("variant",)


def _statistics(found: Sequence[compare.Group], wanted: Wanted) -> list[dict[str, JSON]]:
    """A row for each group and place along x: the mean and the ends of its interval."""
    rows: list[dict[str, JSON]] = []
    for group in found:
        s = group.statistics
        rows.append(
            {
                "x": group.key[0] if wanted.x and _is_number(group.key[0]) else None,
                "place": _place(group, wanted),
                "group": _label(_colours(group, wanted), wanted),
                "mean": s.mean,
                "low": s.ci_low,  # of one seed there is none, and none is drawn
                "high": s.ci_high,
                "n": s.n,
            }
        )
    return rows


def _each(found: Sequence[compare.Group], wanted: Wanted) -> list[dict[str, JSON]]:
    """A row for each trial of the groups `found`."""
    rows: list[dict[str, JSON]] = []
    for group in found:
        x = group.key[0] if wanted.x else None
        key = _colours(group, wanted)
        place = _place(group, wanted)
        rows += [
            {
                "x": x if _is_number(x) else None,
                "place": place,
                "group": _label(key, wanted) if wanted.by else trial.variant,
                "value": value,
                "trial": trial.id,
            }
            for trial, value in zip(group.trials, group.values, strict=True)
        ]
    return sorted(rows, key=lambda row: (groups.order(row["x"]), str(row["place"])))


def _colours(group: compare.Group, wanted: Wanted) -> tuple[JSON, ...]:
    """What the group is told apart by beside its place along x, under the names that `by` stands for."""
    names = compare.expanded(_grouping(wanted))
    own = compare.expanded(wanted.by) if wanted.by else () if wanted.x else names
    return tuple(group.key[names.index(name)] for name in own)


def _data(rows: Sequence[Mapping[str, JSON]]) -> Any:
    """Rows as the data of a chart: a plain dict, whose values Altair does not validate one by one."""
    return {"values": list(rows)}


def _place(group: compare.Group, wanted: Wanted) -> str:
    """What stands below the axis: the value alone where the axis' title is its name."""
    if wanted.x:
        return _shown(group.key[0])
    return group.label.removeprefix(f"{wanted.by[0]}=") if len(wanted.by) == 1 else group.label


def _label(key: Sequence[JSON], wanted: Wanted) -> str:
    return ", ".join(_shown(v) for v in key[: len(wanted.by) or 1])


def _named(trials: Sequence[Summary], by: Sequence[str]) -> dict[str, str]:
    if not by:
        return {t.id: f"{t.variant} seed={t.seed} ({t.id})" for t in trials}
    groups.check_names(trials, by)
    return {t.id: ", ".join(_shown(groups.value_of(t, name)) for name in by) for t in trials}


def _shown(value: JSON) -> str:
    return value if isinstance(value, str) else identity.shown(value)


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _along(wanted: Wanted) -> str | None:
    return wanted.x or ", ".join(name for name in wanted.by if name != groups.EVERYTHING) or None


# --- looks ----------------------------------------------------------------------------------------------


def _colour(rows: Sequence[Mapping[str, JSON]], wanted: Wanted) -> dict[str, Any]:
    """A colour for each group, where there are several and the axis does not tell them apart."""
    import altair as alt

    if not wanted.by or (not wanted.x and len(wanted.by) == 1):
        return {}
    order = list(dict.fromkeys(str(row["group"]) for row in rows))
    legend = alt.Legend(labelLimit=400)
    title = ", ".join(wanted.by)
    return {"color": alt.Color("group:N", title=title, sort=order, legend=legend, **looks.hues(len(order)))}


def _tips(wanted: Wanted) -> list[str]:
    where = ["place:N"] if wanted.x or wanted.by else []
    return [*where, *(["group:N"] if wanted.x and wanted.by else []), "mean:Q", "low:Q", "high:Q", "n:Q"]
