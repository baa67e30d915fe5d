"""The page of a learning curve: one figure, its table, and what twice the data would bring."""

from __future__ import annotations

from embedrun_plugins.results.comparison import spoken
from embedrun_plugins.results.learning_curve import CurvePoint, LearningCurve
from embedrun_plugins.results.phrases import NOTHING, figure, interval, signed, title
from embedrun_plugins.results.report import markup
from embedrun_plugins.results.report.markup import Markup, element, section, table
from embedrun_plugins.results.report.plots import Bar, growth


def page(curve: LearningCurve) -> str:
    """Return the page as HTML."""
    heading = [
        element("p", "embedrun learning curve", class_="kicker"),
        element("h1", curve.name),
        element("p", f"{spoken(curve.metric)} of the {curve.role} model by {curve.evaluator}", class_="facts"),
    ]
    said = [element("p", f"{title(sentence)}.") for sentence in curve.sentences()]
    parts = [section("curve", "How much data is enough", said, _plot(curve), _table(curve)), _runs(curve)]
    return markup.page(f"{curve.name}: learning curve", heading, parts)


def _plot(curve: LearningCurve) -> Markup:
    bars = [Bar(point.queries, point.model, *_ends(point), _label(point)) for point in curve.points]
    last, doubling = curve.points[-1], curve.doubling
    if doubling.gain is not None and doubling.low is not None and doubling.high is not None:
        ends = last.model + doubling.low, last.model + doubling.high
        bars.append(Bar(2 * last.queries, last.model + doubling.gain, *ends, f"{2 * last.queries:,}", promised=True))
    described = (
        "; ".join(f"{bar.label} queries: {figure(bar.value)}" for bar in bars) + ". The table has the same figures."
    )
    name = f"{spoken(curve.metric)} by number of training queries"
    return growth("curve-plot", name, described, bars, last.base, "training queries")


def _ends(point: CurvePoint) -> tuple[float | None, float | None]:
    """Lay the interval of the difference from the base around the base's value."""
    if point.low is None or point.high is None:
        return None, None
    return point.base + point.low, point.base + point.high


def _label(point: CurvePoint) -> str:
    return f"{point.queries:,}"


def _table(curve: LearningCurve) -> Markup:
    header = ["share", "training queries", "base", curve.role, "difference", "95% interval", "verdict"]
    rows = [
        [
            f"{point.share:g}",
            f"{point.queries:,}",
            figure(point.base, 4),
            figure(point.model, 4),
            signed(point.difference, 4),
            interval({"low": point.low, "high": point.high}, 4) or NOTHING,
            point.verdict or NOTHING,
        ]
        for point in curve.points
    ]
    return table(f"{spoken(curve.metric)} by share", header, rows)


def _runs(curve: LearningCurve) -> Markup:
    rows = [[f"{point.share:g}", point.run] for point in curve.points]
    return section("runs", "Runs", table("The run of each share", ["share", "folder"], rows, words=True))
