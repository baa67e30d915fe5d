"""Better here, not worse there: the recipe's own queries and the sets of `general` in one figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from embedrun_plugins.results.comparison import Contest
from embedrun_plugins.results.phrases import figure, interval, signed, title
from embedrun_plugins.results.report.markup import Markup, element, section
from embedrun_plugins.results.report.palette import SERIES
from embedrun_plugins.results.report.plots import Range, intervals


def elsewhere(contests: Sequence[Contest]) -> Markup:
    """Return the figure, where there are sets other than the recipe's own and a model besides the base."""
    general = [contest for contest in contests if contest.elsewhere and contest.challengers]
    if not general:
        return Markup()
    here = [contest for contest in contests if not contest.elsewhere and contest.challengers][:1]
    rows = [_range(contest, contest.headline, "Here: ") for contest in here]
    rows += [_range(contest, metric, "Elsewhere: ") for contest in general for metric in contest.headlines]
    base, last = general[0].base.name, general[0].last.name
    keys = [(base, SERIES[0]), (last, SERIES[1]), ("95% interval of the difference", f"whisker {SERIES[1]}")]
    described = "; ".join(f"{row.label}: {row.told}" for row in rows) + "."
    plot = intervals("elsewhere-plot", f"{last} against {base}, here and elsewhere", described, rows, keys)
    sentences = [sentence for contest in general for sentence in _sentences(contest)]
    return section("elsewhere", "Here and elsewhere", element("p", " ".join(sentences)), plot)


def _range(contest: Contest, metric: str, where: str) -> Range:
    row = contest.row(metric, contest.last) or {}
    base, value = contest.base.metrics[metric], contest.last.metrics[metric]
    low, high = ((base + row[end]) if row.get(end) is not None else None for end in ("low", "high"))
    figures = f"{figure(base)} → {figure(value)} ({interval(row) or signed(row.get('difference'))})"
    return Range(f"{where}{metric}", base, value, low, high, SERIES[1], figures)


def _sentences(contest: Contest) -> Iterator[str]:
    """Count the verdicts, and name what may have been lost at worst."""
    rows = {metric: contest.row(metric, contest.last) or {} for metric in contest.headlines}
    counts = Counter(row.get("verdict") for row in rows.values())
    better, worse, unsure = (counts[word] for word in ("better", "worse", "can't tell"))
    sets = "1 other set" if len(rows) == 1 else f"{len(rows)} other sets"
    yield f"{title(contest.last.name)} on {sets}: {better} better, {worse} worse, {unsure} can't tell."
    lows = {metric: row["low"] for metric, row in rows.items() if row.get("low") is not None}
    if lows and min(lows.values()) < 0:
        worst = min(lows, key=lambda metric: lows[metric])
        yield f"By the intervals, {figure(-lows[worst])} may be lost at worst, of {worst}."
