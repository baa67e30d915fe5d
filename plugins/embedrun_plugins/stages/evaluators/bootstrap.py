"""Whether a difference between two models is more than chance.

Both models answer the same queries, so the queries' differences are resampled (paired bootstrap: Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993; for retrieval: Sakai, SIGIR 2006; Smucker, Allan and Carterette, CIKM 2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from embedrun.artifacts import Comparison, Scores
from embedrun.context import Context
from embedrun_plugins.results import roles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Verdict = Literal["better", "worse", "can't tell"]

RESAMPLES = 10_000
FEWEST_DIFFERING = 6
"""Differing queries below which no verdict is given: a sign test of 5 cannot reach p < 0.05 either."""
DETECTABLE_ERRORS = 2.8
"""Standard errors of a gain that is found with 80% power at the 5% level: 1.96 + 0.84."""
_CELLS = 1_000_000
"""Queries times resamples held in memory at once."""


@dataclass(frozen=True)
class Interval:
    """The mean difference of two models over the same queries, and how sure it is."""

    difference: float
    low: float | None
    """Lower end of the 95% percentile interval; None below two queries."""
    high: float | None
    verdict: Verdict
    queries: int
    detectable: float | None
    """Smallest gain that so many queries of this spread would show in four of five experiments."""
    won: int
    lost: int
    tied: int


def paired(model: Mapping[str, float], base: Mapping[str, float], seed: int) -> Interval:
    """Compare two models' values by query id, over the queries that both have; a gain of the model is positive.

    Raises ValueError where they share no query.
    """
    return _intervals([_differences(model, base)], seed)[0]


def comparison(ctx: Context, scores: Mapping[str, Scores]) -> Comparison:
    """Write `compare`'s rows below `ctx.out`; what an evaluator's `compare` returns."""
    return Comparison.write(ctx.out, compare(scores, ctx.seed))


def compare(scores: Mapping[str, Scores], seed: int) -> list[dict[str, Any]]:
    """Compare models metric by metric, as the rows of a Comparison.

    The run's other models are compared with "base", and the one that it ends with, with each of its rivals. A metric
    without values by query gets its difference only: interval, verdict and counts are None.
    """
    pairs = [(role, "base") for role in roles.own(scores)[1:]]
    pairs += [(roles.last(scores), rival) for rival in roles.rivals(scores)]
    rows = [row for role, against in pairs for row in _plain_rows(role, against, scores)]
    values = [[scores[row[end]].per_query.get(row["metric"], {}) for end in ("role", "against")] for row in rows]
    judged = [(row, pair) for row, pair in zip(rows, values, strict=True) if pair[0].keys() & pair[1].keys()]
    intervals = _intervals([_differences(*pair) for _, pair in judged], seed)
    for (row, _), interval in zip(judged, intervals, strict=True):
        row.update(asdict(interval))
    return rows


def _plain_rows(role: str, against: str, scores: Mapping[str, Scores]) -> Iterator[dict[str, Any]]:
    model = scores[role].metrics
    unknown = dict.fromkeys(("low", "high", "verdict", "queries", "detectable", "won", "lost", "tied"))
    for metric, base in scores[against].metrics.items():
        if metric in model:
            values = {"base": base, "model": model[metric], "difference": model[metric] - base}
            yield {"metric": metric, "role": role, "against": against, **values, **unknown}


def _differences(model: Mapping[str, float], base: Mapping[str, float]) -> NDArray[np.float64]:
    import numpy as np

    shared = sorted(model.keys() & base.keys())
    if not shared:
        raise ValueError("the two models were scored on different queries")
    return np.array([model[query] - base[query] for query in shared], dtype=np.float64)


def _intervals(columns: Sequence[NDArray[np.float64]], seed: int) -> list[Interval]:
    """Judge every column of differences; those of equal length share their resamples, in one pass."""
    import numpy as np

    intervals: dict[int, Interval] = {}
    for length in dict.fromkeys(len(column) for column in columns):
        indices = [number for number, column in enumerate(columns) if len(column) == length]
        differences = np.stack([columns[number] for number in indices], axis=1)
        low, high = np.quantile(_resampled_means(differences, seed), (0.025, 0.975), axis=0)
        for index, number in enumerate(indices):
            intervals[number] = _interval(columns[number], float(low[index]), float(high[index]))
    return [intervals[number] for number in range(len(columns))]


def _resampled_means(differences: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return (resamples, columns): each column's mean over queries drawn with replacement, the same for all columns.

    A resample is how often it drew each query, so a chunk of resamples is one matrix product.
    """
    import numpy as np

    queries = len(differences)
    random = np.random.default_rng(seed)
    chunk = max(1, _CELLS // queries)
    means = np.empty((RESAMPLES, differences.shape[1]))
    for start in range(0, RESAMPLES, chunk):
        rows = min(chunk, RESAMPLES - start)
        drawn = random.integers(0, queries, size=(rows, queries)) + np.arange(rows)[:, None] * queries
        counts = np.bincount(drawn.ravel(), minlength=rows * queries).reshape(rows, queries)
        means[start : start + rows] = counts.astype(np.float64) @ differences / queries
    return means


def _interval(differences: NDArray[np.float64], low: float, high: float) -> Interval:
    queries = len(differences)
    won, lost = int((differences > 0).sum()), int((differences < 0).sum())
    several = queries > 1
    verdict: Verdict = "can't tell"
    if won + lost >= FEWEST_DIFFERING and (low > 0 or high < 0):
        verdict = "better" if low > 0 else "worse"
    return Interval(
        difference=float(differences.mean()),
        low=low if several else None,
        high=high if several else None,
        verdict=verdict,
        queries=queries,
        detectable=DETECTABLE_ERRORS * float(differences.std(ddof=1)) / queries**0.5 if several else None,
        won=won,
        lost=lost,
        tied=queries - won - lost,
    )
