"""Base against tuned, and that against other models, as a plot with intervals and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle

from embedrun_plugins.results.comparison import Contender, Contest, parted, spoken
from embedrun_plugins.results.phrases import NOTHING, basis, figure, interval, signed, title
from embedrun_plugins.results.report.markup import Content, Markup, element, folded, section, table
from embedrun_plugins.results.report.palette import RIVALS, SERIES
from embedrun_plugins.results.report.plots import Range, intervals
from embedrun_plugins.results.report.recommendation import named

_MOST_ROWS = 12
"""Rows of a plot; a longer one would not be read."""


def scores(contests: Sequence[Contest]) -> Markup:
    """Return each evaluator's plot and table."""
    content: list[Content] = []
    for number, contest in enumerate(contests, start=1):
        rows = [*list(_ranges(contest))[:_MOST_ROWS], *_rival_ranges(contest)]
        if rows:
            content.append(_plot(contest, rows, f"scores-{number}"))
        content.append(_table(contest, contest.shown(), f"Scores of {contest.name}"))
        last = (
            row for row in contest.rows if (row["role"], row.get("against")) == (contest.last.name, contest.base.name)
        )
        content += [element("p", f"{title(sentence)}.") for sentence in basis(last)]
        if contest.judged_rivals():
            content.append(_rivals_table(contest))
        others = [metric for metric in contest.base.metrics if metric not in contest.shown()]
        if others:
            count = f"All {len(contest.base.metrics)} metrics of {contest.name}"
            content.append(folded(count, _table(contest, tuple(contest.base.metrics), count)))
    return section("scores", "Scores", *content)


def _plotted(contest: Contest) -> list[str]:
    """Return the headline at each size, or several headlines where there is one size."""
    sizes = [metric for _, metric in contest.sizes()]
    return sizes if len(sizes) > 1 else list(contest.headlines)


def _ranges(contest: Contest) -> Iterator[Range]:
    for metric in _plotted(contest):
        for contender, colour in zip(contest.challengers, SERIES[1:], strict=False):
            if metric in contender.metrics:
                yield _range(contest, metric, contender, colour)


def _rival_ranges(contest: Contest) -> Iterator[Range]:
    """Return the last model against each rival, by the headline."""
    last_colour = SERIES[min(len(contest.contenders), len(SERIES)) - 1]
    for rival, colour in zip(contest.rivals, cycle(RIVALS), strict=False):
        if contest.headline in rival.metrics:
            yield _range(contest, contest.headline, contest.last, last_colour, (rival, colour))


def _range(
    contest: Contest, metric: str, contender: Contender, colour: str, rival: tuple[Contender, str] | None = None
) -> Range:
    """Lay the interval of the difference around the other's value: where it holds that, nobody can tell."""
    other, other_colour = rival or (contest.base, SERIES[0])
    row = contest.row(metric, contender, other) or {}
    base, value = other.metrics[metric], contender.metrics[metric]
    low, high = ((base + row[end]) if row.get(end) is not None else None for end in ("low", "high"))
    label = _label(contest, metric) + (f", {contender.name}" if len(contest.challengers) > 1 else "")
    if rival:
        label = f"{spoken(metric)}, {contender.name} against {other.name}"
    return Range(label, base, value, low, high, colour, f"{figure(base)} → {figure(value)}", other_colour)


def _label(contest: Contest, metric: str) -> str:
    size = parted(metric)[0]
    if len(contest.sizes()) == 1:
        return spoken(metric)
    return f"{size} dimensions" if size else f"Full size{f', {contest.base.size}' if contest.base.size else ''}"


def _plot(contest: Contest, rows: Sequence[Range], name: str) -> Markup:
    models = [contender.name for contender in contest.contenders]
    what = spoken(contest.headline) if len(contest.sizes()) > 1 else contest.name.replace("_", " ")
    description = "; ".join(f"{row.label}: {row.told}" for row in rows) + ". The same figures are in the table below."
    keys = list(zip(models, SERIES, strict=False))
    keys += [(rival.name, colour) for rival, colour in zip(contest.rivals, cycle(RIVALS), strict=False)]
    has_intervals = any(row.low is not None for row in rows)
    bar = [("95% interval of the difference", f"whisker {rows[0].colour}")] if has_intervals else []
    return intervals(name, f"{what}: {', '.join(label for label, _ in keys)}", description, rows, keys + bar)


_COMPARED = ("difference", "95% interval", "verdict", "won / lost")


def _table(contest: Contest, metrics: Sequence[str], caption: str) -> Markup:
    names = [contender.name for contender in (*contest.contenders, *contest.rivals)]
    rows = []
    for metric in metrics:
        values = [figure(contender.metrics.get(metric), 4) for contender in (*contest.contenders, *contest.rivals)]
        rows.append([named(metric), *values, *(_compared(contest, metric) if contest.challengers else ())])
    return table(caption, ["metric", *names, *(_COMPARED if contest.challengers else ())], rows)


def _rivals_table(contest: Contest) -> Markup:
    """Return how the last model differs from each rival."""
    last = contest.last
    rows = []
    for rival in contest.judged_rivals():
        for metric in (metric for metric in contest.headlines if metric in rival.metrics):
            values = [figure(model.metrics.get(metric), 4) for model in (rival, last)]
            rows.append([named(metric, rival.name), *values, *_compared(contest, metric, rival)])
    return table(f"{title(last.name)} against other models", ["metric, model", "model", last.name, *_COMPARED], rows)


def _compared(contest: Contest, metric: str, rival: Contender | None = None) -> list[str]:
    row = contest.row(metric, contest.last, rival) or {}
    won = f"{row['won']:,} / {row['lost']:,}" if row.get("won") is not None else NOTHING
    return [signed(row.get("difference"), 4), interval(row) or NOTHING, str(row.get("verdict") or NOTHING), won]
