"""Whether a difference between two models is more than chance.

Both models answer the same queries, so the queries' differences are judged, in independent units: questions about one
passage rise and fall together. The interval is that of `results.intervals`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal

from embedrun.artifacts import Comparison, Scores
from embedrun.context import Context
from embedrun_plugins.results import roles
from embedrun_plugins.stages.evaluators.query_styles import QueryStyles
from embedrun_plugins.stages.evaluators.query_units import QueryUnits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedrun_plugins.results.intervals import Spread


Verdict = Literal["better", "worse", "can't tell"]

SIGNIFICANT = 0.05
EQUAL = ""
"""In the place of a headline: no metric's verdict stands alone."""
_NO_UNITS = QueryUnits("none", {})


@dataclass(frozen=True)
class Interval:
    """The mean difference of two models over the same queries, and how sure it is."""

    difference: float
    low: float | None
    """Lower end of the 95% interval; None where there are not two units."""
    high: float | None
    verdict: Verdict
    queries: int
    detectable: float | None
    """Smallest gain that so many units of this spread would show in four of five experiments."""
    won: int
    lost: int
    tied: int
    units: int | None = None
    """Independent units that the queries are in."""
    units_by: str | None = None
    """What makes queries one unit: document, source or none."""
    units_differing: int | None = None
    """Units on which the models differ."""
    few: bool = False
    """Whether so few units differ, or carry the difference, that there can be no verdict."""
    p: float | None = None
    """Chance of so large a difference between models that are equally good."""


Values = Mapping[str, float]
"""A metric's values by query id."""


def paired(model: Values, base: Values, units: QueryUnits = _NO_UNITS) -> Interval:
    """Compare two models' values by query id, over the queries that both have; a gain of the model is positive.

    Raises ValueError where they share no query.
    """
    return _intervals([(model, base)], units)[0]


def paired_over_seeds(models: Sequence[Values], bases: Sequence[Values], units: QueryUnits = _NO_UNITS) -> Interval:
    """Compare what two recipes make on average over their trainings, one of each seed, each given by query id.

    Both the queries and the trainings vary; where a recipe has one training, its spread is not known and left out.
    """
    return _intervals([(_mean(models), _mean(bases))], units, _spread(models, bases))[0]


def comparison(ctx: Context, scores: Mapping[str, Scores], metric: str | None = None) -> Comparison:
    """Write `compare`'s rows below `ctx.out`; what an evaluator's `compare` returns."""
    return Comparison.write(ctx.out, compare(scores, metric))


def compare(scores: Mapping[str, Scores], headline: str | None = None) -> list[dict[str, Any]]:
    """Compare models metric by metric, as the rows of a Comparison.

    The run's other models are compared with "base", and the one that it ends with, with each of its rivals. A model
    with a reranker is compared with the model alone, and with the untuned reranker. A metric
    without values by query gets its difference only: interval, verdict and counts are None. The verdict on the
    `headline`, by default the first metric, stands alone (none does where it is `EQUAL`, since all matter alike);
    those on a pair's other metrics are corrected for their number by Holm's method (Scandinavian Journal of
    Statistics, 1979), and `verdict_alone` is what each would be.
    Where models were trained with several seeds, the rows are about the first of each, and `over_seeds` about all.
    Where queries were generated in styles, the headline's row holds `by_style`.
    """
    pairs = [(role, "base") for role in roles.own(scores)[1:]]
    pairs += [(roles.last(scores), rival) for rival in roles.rivals(scores)]
    pairs += [(pair, opponent) for pair in roles.pairs(scores) for opponent in roles.opponents(pair, scores)]
    return [row for role, against in pairs for row in _rows(role, against, scores, headline)]


def units_of(scores: Mapping[str, Scores]) -> QueryUnits:
    """Return the units that models were scored with; older scores have none."""
    known = (QueryUnits.read(part.path) for part in scores.values())
    return next((units for units in known if units.units), _NO_UNITS)


def _rows(role: str, against: str, scores: Mapping[str, Scores], headline: str | None) -> list[dict[str, Any]]:
    rows = list(_plain_rows(role, against, scores))
    values = [[scores[row[end]].per_query.get(row["metric"], {}) for end in ("role", "against")] for row in rows]
    judged = [(row, (new, old)) for row, (new, old) in zip(rows, values, strict=True) if new.keys() & old.keys()]
    for (row, _), interval in zip(judged, _intervals([pair for _, pair in judged], units_of(scores)), strict=True):
        row.update(asdict(interval))
        row["over_seeds"] = _over_seeds(row, scores)
    compared = [row for row, _ in judged]
    named = [row for row in compared if row["metric"] == headline] or compared[: headline != EQUAL]
    others = [row for row in compared if row not in named[:1]]
    for row in named[:1]:
        if styles := _by_style(row, scores):
            row["by_style"] = styles
    _correct(compared, others)
    over_seeds = [[row["over_seeds"] for row in part if row["over_seeds"]] for part in (compared, others)]
    _correct(*over_seeds)
    return rows


def _over_seeds(row: Mapping[str, Any], scores: Mapping[str, Scores]) -> dict[str, Any] | None:
    """Return how the trainings of all seeds differ; None where each model has one."""
    models, bases = (
        [scores[name].per_query[row["metric"]] for name in roles.of_seeds(scores, row[end])]
        for end in ("role", "against")
    )
    if len(models) == len(bases) == 1:
        return None
    interval = asdict(paired_over_seeds(models, bases, units_of(scores)))
    kept = {name: interval[name] for name in ("difference", "low", "high", "verdict", "p", "detectable")}
    spreads = {f"{name}_spread": _deviation(parts) for name, parts in (("model", models), ("base", bases))}
    return {"trainings": [len(models), len(bases)], **spreads, **kept}


def _by_style(row: Mapping[str, Any], scores: Mapping[str, Scores]) -> list[dict[str, Any]]:
    """Return how the models differ on the queries of each style, where these have any; intervals are not corrected."""
    styles = next((known for part in scores.values() if (known := QueryStyles.read(part.path)).styles), None)
    if styles is None:
        return []
    models, bases = (styles.parts(scores[row[end]].per_query[row["metric"]]) for end in ("role", "against"))
    units = units_of(scores)
    rows = []
    for style in (style for style in models if models[style].keys() & bases.get(style, {}).keys()):
        interval = asdict(paired(models[style], bases[style], units))
        kept = {name: interval[name] for name in ("difference", "low", "high", "queries", "units", "few")}
        means = {name: fmean(part[style].values()) for name, part in (("base", bases), ("model", models))}
        rows.append({"style": style, **means, **kept})
    return rows


def _mean(parts: Sequence[Values]) -> Values:
    shared = set(parts[0]).intersection(*parts[1:])
    return {query: sum(part[query] for part in parts) / len(parts) for query in shared}


def _deviation(parts: Sequence[Values]) -> float | None:
    """Return the standard deviation of a metric over trainings; None of one."""
    means = [fmean(part.values()) for part in parts]
    return stdev(means) if len(means) > 1 else None


def _spread(models: Sequence[Values], bases: Sequence[Values]) -> Spread | None:
    import numpy as np

    from embedrun_plugins.results.intervals import Spread

    parts = [((_deviation(part) or 0.0) ** 2 / len(part), len(part) - 1) for part in (models, bases) if len(part) > 1]
    variance = sum(part for part, _ in parts)
    if not variance:
        return None
    freedom = variance**2 / sum(part**2 / count for part, count in parts)
    return Spread(np.array([variance]), np.array([freedom]))


def _plain_rows(role: str, against: str, scores: Mapping[str, Scores]) -> Iterator[dict[str, Any]]:
    model = scores[role].metrics
    unknown = dict.fromkeys(("low", "high", "verdict", "queries", "detectable", "won", "lost", "tied"))
    for metric, base in scores[against].metrics.items():
        if metric in model:
            values = {"base": base, "model": model[metric], "difference": model[metric] - base}
            yield {"metric": metric, "role": role, "against": against, **values, **unknown}


def _correct(rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> None:
    """Correct the verdicts of others than the headline for how many they are."""
    for row in rows:
        row.update(verdict_alone=row["verdict"], p_adjusted=None)
    adjusted = 0.0
    for rank, row in enumerate(sorted(others, key=lambda row: float(row["p"]))):
        adjusted = max(adjusted, min(1.0, row["p"] * (len(others) - rank)))
        row["p_adjusted"] = adjusted
        if adjusted > SIGNIFICANT:
            row["verdict"] = "can't tell"


def _intervals(
    pairs: Sequence[tuple[Values, Values]], units: QueryUnits, spread: Spread | None = None
) -> list[Interval]:
    """Judge every pair of models' values; those over the same queries in one pass."""
    import numpy as np

    columns: dict[tuple[str, ...], list[int]] = {}
    for number, (model, base) in enumerate(pairs):
        columns.setdefault(tuple(sorted(model.keys() & base.keys())), []).append(number)
    intervals: dict[int, Interval] = {}
    for queries, numbers in columns.items():
        if not queries:
            raise ValueError("the two models were scored on different queries")
        differences = np.array([[pairs[number][0][q] - pairs[number][1][q] for q in queries] for number in numbers])
        intervals.update(zip(numbers, _judged(differences, queries, units, spread), strict=True))
    return [intervals[number] for number in range(len(pairs))]


def _judged(
    differences: NDArray[np.float64], queries: Sequence[str], units: QueryUnits, spread: Spread | None
) -> Iterator[Interval]:
    """Judge columns of differences (columns, queries) over the same queries."""
    import numpy as np

    from embedrun_plugins.results.intervals import mean_intervals

    numbers = np.array(units.numbered(queries))
    sizes = np.bincount(numbers).astype(np.float64)
    if len(sizes) < 2:  # noqa: PLR2004 - one unit has no spread
        for column in differences:
            plain = Interval(float(column.mean()), None, None, "can't tell", len(column), None, *_counts(column))
            yield replace(plain, units=1, units_by=units.by, few=True, p=1.0)
        return
    means = mean_intervals(np.stack([np.bincount(numbers, column) for column in differences]), sizes, spread)
    for number, column in enumerate(differences):
        sure = means.p[number] <= SIGNIFICANT
        won, lost, tied = _counts(column)
        yield Interval(
            difference=float(means.mean[number]),
            low=float(means.low[number]),
            high=float(means.high[number]),
            verdict=("better" if means.mean[number] > 0 else "worse") if sure else "can't tell",
            queries=len(column),
            detectable=float(means.detectable[number]),
            won=won,
            lost=lost,
            tied=tied,
            units=len(sizes),
            units_by=units.by,
            units_differing=int(means.differing[number]),
            few=bool(means.few[number]),
            p=float(means.p[number]),
        )


def _counts(differences: NDArray[np.float64]) -> tuple[int, int, int]:
    won, lost = int((differences > 0).sum()), int((differences < 0).sum())
    return won, lost, len(differences) - won - lost
