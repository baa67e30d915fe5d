"""Plots as inline SVG: widths in per cent, letters in pixels, so that they read well on a phone and on a desktop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embedrun_plugins.results.report.axes import Scale, labels
from embedrun_plugins.results.report.markup import Content, Markup, element

_HEIGHT = 220
_LEFT, _RIGHT = 14.0, 98.0
_TOP, _BOTTOM = 12.0, 190.0
_ROW = 46
_MOST_MARKS = 12
"""Points of a line that are marked; more would hide it."""


@dataclass(frozen=True)
class Series:
    """A line, or a row's points, in the colour and with the mark of its place: base, tuned, merged."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: str


@dataclass(frozen=True)
class Range:
    """A row of a plot of intervals: one model's value, another's, and where the other's may truly lie."""

    label: str
    base: float
    model: float
    low: float | None
    high: float | None
    colour: str
    told: str
    base_colour: str = "base"


@dataclass(frozen=True)
class Bar:
    """A value with its interval, at a place along the x axis."""

    x: float
    value: float
    low: float | None
    high: float | None
    label: str
    promised: bool = False
    """Whether it was not measured."""


def figure(name: str, title: str, told: str, drawing: Content, height: float, legend: Content = None) -> Markup:
    """Return a plot with its legend; screen readers get its title and what it tells."""
    described = [element("title", title, id=f"{name}-title"), element("desc", told, id=f"{name}-desc")]
    svg = element(
        "svg",
        described,
        drawing,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        width="100%",
        height=round(height),
        class_="plot",
    )
    return element("figure", legend, svg)


def legend(series: Sequence[tuple[str, str]]) -> Markup:
    """Return a legend of (label, colour)."""
    return element(
        "p",
        [element("span", element("i", class_=f"mark {colour}", aria_hidden="true"), label) for label, colour in series],
        class_="legend",
    )


def lines(name: str, title: str, told: str, series: Sequence[Series], x_name: str) -> Markup:
    """Plot lines over steps, with a legend where there are several."""
    points = [point for line in series for point in line.points]
    x = Scale.around((step for step, _ in points), _LEFT, _RIGHT, room=0.02)
    y = Scale.around((value for _, value in points), _BOTTOM, _TOP)
    ticks = x.ticks(6)
    axis = _x_axis([(x(value), label) for value, label in zip(ticks, labels(ticks), strict=True)], x_name, _BOTTOM)
    marked = [list(_marks(line, x, y)) for line in series if len(line.points) <= _MOST_MARKS]
    drawing = [_y_axis(y), axis, [_line(line, x, y) for line in series], marked]
    keys = legend([(line.label, line.colour) for line in series]) if len(series) > 1 else None
    return figure(name, title, told, drawing, _HEIGHT, keys)


def steps(name: str, title: str, told: str, series: Sequence[Series], places: Sequence[str], x_name: str) -> Markup:
    """Plot lines over a few named places, evenly spaced; a point's x is the place's number."""
    x = Scale(-0.3, len(places) - 0.7, _LEFT, _RIGHT)
    y = Scale.around((value for line in series for _, value in line.points), _BOTTOM, _TOP)
    axis = _x_axis([(x(number), place) for number, place in enumerate(places)], x_name, _BOTTOM)
    drawing = [_y_axis(y), axis, [[_line(line, x, y), list(_marks(line, x, y))] for line in series]]
    return figure(name, title, told, drawing, _HEIGHT, legend([(line.label, line.colour) for line in series]))


def growth(name: str, title: str, described: str, bars: Sequence[Bar], base: float, x_name: str) -> Markup:
    """Plot values over amounts that grow by factors, each with its interval, beside a base that stays."""
    x = Scale.around((math.log2(bar.x) for bar in bars), _LEFT, _RIGHT, room=0.05)
    ends = [end for bar in bars for end in (bar.low, bar.high, bar.value) if end is not None]
    y = Scale.around([*ends, base], _BOTTOM, _TOP)
    places = [x(math.log2(bar.x)) for bar in bars]
    axis = _x_axis([(column, bar.label) for column, bar in zip(places, bars, strict=True)], x_name, _BOTTOM)
    measured = Series("", [(math.log2(bar.x), bar.value) for bar in bars if not bar.promised], "tuned")
    level = _stroke(_LEFT, y(base), _RIGHT, y(base), "whisker base")
    marks = [_bar(bar, column, y) for bar, column in zip(bars, places, strict=True)]
    keys = [("base", "base"), ("trained, with the 95% interval of its difference from the base", "tuned")]
    keys += [("twice the data, extrapolated", "merged")] if any(bar.promised for bar in bars) else []
    return figure(
        name, title, described, [_y_axis(y), axis, level, _line(measured, x, y), marks], _HEIGHT, legend(keys)
    )


def _bar(bar: Bar, column: float, y: Scale) -> Iterator[Markup]:
    colour = "merged" if bar.promised else "tuned"
    if bar.low is not None and bar.high is not None:
        yield _stroke(column, y(bar.low), column, y(bar.high), f"whisker {colour}")
    yield element("circle", cx=_percent(column), cy=y(bar.value), r=5, class_=f"point {colour}")


def intervals(name: str, title: str, told: str, rows: Sequence[Range], keys: Sequence[tuple[str, str]]) -> Markup:
    """Plot two values in each row, and the interval of the second."""
    values = [value for row in rows for value in (row.base, row.model, row.low, row.high) if value is not None]
    x = Scale.around(values, 2.0, 98.0)
    bottom = _ROW * len(rows) + 6
    ticks = x.ticks(6)
    marks = [(x(value), label) for value, label in zip(ticks, labels(ticks), strict=True)]
    grid = [_stroke(place, 4, place, bottom, "grid") for place, _ in marks]
    drawing = [grid, _x_axis(marks, "", bottom), [_range(row, x, _ROW * place) for place, row in enumerate(rows)]]
    return figure(name, title, told, drawing, bottom + 26, legend(keys))


def shares(name: str, title: str, description: str, rows: Sequence[tuple[str, float]]) -> Markup:
    """Plot shares of a whole as bars, each with its figure."""
    x = Scale(0.0, max(1.0, *(share for _, share in rows)), 2.0, 98.0)
    drawing = [list(_share(label, share, x, _ROW * number)) for number, (label, share) in enumerate(rows)]
    return figure(name, title, description, drawing, _ROW * len(rows) + 6)


def _share(label: str, share: float, x: Scale, top: float) -> Iterator[Markup]:
    yield _letters(0, top + 19, label, class_="label")
    yield _letters(100, top + 19, f"{share:.0%}", class_="told", text_anchor="end")
    yield _stroke(x(0.0), top + 34, x(share), top + 34, "whisker tuned")


def _range(row: Range, x: Scale, top: float) -> Iterator[Markup]:
    y = top + 34
    yield _letters(0, top + 19, row.label, class_="label")
    yield _letters(100, top + 19, row.told, class_="told", text_anchor="end")
    yield _stroke(x(row.base), y, x(row.model), y, "span")
    if row.low is not None and row.high is not None:
        yield _stroke(x(row.low), y, x(row.high), y, f"whisker {row.colour}")
    yield element("circle", cx=_percent(x(row.base)), cy=y, r=5, class_=f"point {row.base_colour}")
    yield element("circle", cx=_percent(x(row.model)), cy=y, r=5.5, class_=f"point {row.colour}")


def _line(series: Series, x: Scale, y: Scale) -> Markup:
    """Draw a line in a frame of its own that is stretched to the plot's width, as lines know no per cent."""
    points = " ".join(f"{x(step) * 10:.1f},{y(value):.1f}" for step, value in series.points)
    line = element("polyline", points=points, class_=f"line {series.colour}", vector_effect="non-scaling-stroke")
    frame = {"viewBox": f"0 0 1000 {_HEIGHT}", "preserveAspectRatio": "none"}
    return element("svg", line, x="0", y="0", width="100%", height=_HEIGHT, aria_hidden="true", **frame)


def _marks(series: Series, x: Scale, y: Scale) -> Iterator[Markup]:
    for step, value in series.points:
        yield element("circle", cx=_percent(x(step)), cy=y(value), r=4.5, class_=f"point {series.colour}")


def _y_axis(y: Scale) -> Iterator[Markup]:
    ticks = y.ticks()
    for value, label in zip(ticks, labels(ticks), strict=True):
        yield _stroke(_LEFT, y(value), _RIGHT + 1, y(value), "grid")
        yield _letters(_LEFT - 1.5, y(value) + 4, label, text_anchor="end")


def _x_axis(ticks: Sequence[tuple[float, str]], name: str, bottom: float) -> Iterator[Markup]:
    yield _stroke(0 if not name else _LEFT, bottom, 100, bottom, "axis")
    for x, label in ticks:
        yield _letters(x, bottom + 16, label, text_anchor="middle")
    if name:
        yield _letters((_LEFT + _RIGHT) / 2, bottom + 29, name, text_anchor="middle")


def _letters(x: float, y: float, words: str, **attributes: str) -> Markup:
    return element("text", words, x=_percent(x), y=round(y, 1), **attributes)


def _stroke(x1: float, y1: float, x2: float, y2: float, name: str) -> Markup:
    return element("line", x1=_percent(x1), y1=round(y1, 1), x2=_percent(x2), y2=round(y2, 1), class_=name)


def _percent(value: float) -> str:
    return f"{value:.2f}%"
