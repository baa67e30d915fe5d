"""Base against tuned, as a plot with intervals and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embedrun_plugins.reporting.contests import Contender, Contest, parted, spoken
from embedrun_plugins.reporting.markup import Content, Markup
from embedrun_plugins.reporting.palette import SERIES
from embedrun_plugins.reporting.plots import Range, intervals
from embedrun_plugins.reporting.tables import folded, section, table
from embedrun_plugins.reporting.wording import NOTHING, figure, interval, signed

_MOST_ROWS = 12
"""Rows of a plot; a longer one would not be read."""


def scores(contests: Sequence[Contest]) -> Markup:
    """Return each evaluator's plot and table."""
    found: list[Content] = []
    for number, contest in enumerate(contests, start=1):
        rows = list(_ranges(contest))[:_MOST_ROWS]
        if rows:
            found.append(_plot(contest, rows, f"scores-{number}"))
        found.append(_table(contest, contest.shown(), f"Scores of {contest.name}"))
        others = [metric for metric in contest.base.metrics if metric not in contest.shown()]
        if others:
            count = f"All {len(contest.base.metrics)} metrics of {contest.name}"
            found.append(folded(count, _table(contest, tuple(contest.base.metrics), count)))
    return section("scores", "Scores", *found)


def _plotted(contest: Contest) -> list[str]:
    """Return the headline at each size, or several headlines where there is one size."""
    sizes = [metric for _, metric in contest.sizes()]
    return sizes if len(sizes) > 1 else list(contest.headlines)


def _ranges(contest: Contest) -> Iterator[Range]:
    for metric in _plotted(contest):
        for contender, colour in zip(contest.challengers, SERIES[1:], strict=False):
            if metric in contender.metrics:
                yield _range(contest, metric, contender, colour)


def _range(contest: Contest, metric: str, contender: Contender, colour: str) -> Range:
    """Lay the interval of the difference around the model's value: where it holds the base's, nobody can tell."""
    row = contest.row(metric, contender) or {}
    base, own = contest.base.metrics[metric], contender.metrics[metric]
    low, high = ((base + row[end]) if row.get(end) is not None else None for end in ("low", "high"))
    label = _label(contest, metric) + (f", {contender.name}" if len(contest.challengers) > 1 else "")
    return Range(label, base, own, low, high, colour, f"{figure(base)} → {figure(own)}")


def _label(contest: Contest, metric: str) -> str:
    size = parted(metric)[0]
    if len(contest.sizes()) == 1:
        return spoken(metric)
    return f"{size} dimensions" if size else f"Full size{f', {contest.base.size}' if contest.base.size else ''}"


def _plot(contest: Contest, rows: Sequence[Range], name: str) -> Markup:
    models = [contender.name for contender in contest.contenders]
    what = spoken(contest.headline) if len(contest.sizes()) > 1 else contest.name.replace("_", " ")
    told = "; ".join(f"{row.label}: {row.told}" for row in rows) + ". The same figures are in the table below."
    keys = list(zip(models, SERIES, strict=False))
    known = any(row.low is not None for row in rows)
    bar = [("95% interval of the difference", f"whisker {SERIES[1]}")] if known else []
    return intervals(name, f"{what}: {' and '.join(models)}", told, rows, keys + bar)


def _table(contest: Contest, metrics: Sequence[str], caption: str) -> Markup:
    names = [contender.name for contender in contest.contenders]
    last = contest.contenders[-1]
    compared = ["difference", "95% interval", "verdict", "won / lost"] if contest.challengers else []
    rows = [_row(contest, metric, last) for metric in metrics]
    return table(caption, ["metric", *names, *compared], rows)


def _row(contest: Contest, metric: str, last: Contender) -> list[str]:
    size, _ = parted(metric)
    named = spoken(metric) + (f" at {size}" if size else "")
    values = [figure(contender.metrics.get(metric), 4) for contender in contest.contenders]
    if not contest.challengers:
        return [named, *values]
    row = contest.row(metric, last) or {}
    won = f"{row['won']:,} / {row['lost']:,}" if row.get("won") is not None else NOTHING
    known = [interval(row) or NOTHING, str(row.get("verdict") or NOTHING), won]
    return [named, *values, signed(row.get("difference"), 4), *known]
