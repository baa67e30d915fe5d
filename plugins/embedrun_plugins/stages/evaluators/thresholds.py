"""Limits on what an evaluator measured, which fail the run where they do not hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from embedrun.artifacts import Comparison, Scores
from embedrun.errors import suggest
from embedrun_plugins.results.roles import last, last_pair, of_seeds
from embedrun_plugins.stages.evaluators.paired_differences import Interval, paired, paired_over_seeds, units_of


class Limit(BaseModel):
    """What must hold of the model that the run ends with: merged, else tuned, else base.

    Better and worse are by the 95% interval of the difference over independent units of queries: it leaves out 0. Each
    limit stands alone, since it is named before anything is measured. Where a recipe has several seeds, min and max are
    about the first one's model, which is deployed; the others must hold of it, and of all models on average.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    metric: str
    """What is limited, for example ndcg@10 or dim_128_ndcg@10."""
    reranked: bool = False
    """Whether this is about that model together with the recipe's reranker, as it ends, in place of the model alone:
    {metric: ndcg@10, reranked: true, better_than: tuned} fails a run whose reranker does not help."""
    min: float | None = None
    """It must be at least this."""
    max: float | None = None
    """It must be at most this."""
    better_than: str | None = None
    """It must be better than this model's (base, tuned, one of compare_with), or than another metric of it, as in
    base/ndcg@10."""
    not_worse_than: str | None = None
    """It must not be worse than this model's (base, tuned, one of compare_with), or than another metric of it."""

    @model_validator(mode="after")
    def _limits_something(self) -> Limit:
        if all(bound is None for bound in (self.min, self.max, self.better_than, self.not_worse_than)):
            raise ValueError("sets no limit: give it min, max, better_than or not_worse_than")
        return self

    def faults(self, metrics: Collection[str]) -> Iterator[str]:
        """Say which metrics it names that are not measured."""
        for metric in dict.fromkeys((self.metric, *(metric for _, metric in self._references()))):
            if metric not in metrics:
                yield f"require: no metric '{metric}' is measured{suggest(metric, metrics)}"

    def models(self) -> list[str]:
        """Name the models that it compares with."""
        return [role for role, _ in self._references()]

    def unmet(self, scores: Mapping[str, Scores], comparison: Comparison | None) -> Iterator[str]:
        """Say, with the figures, which bound does not hold."""
        role = self._role(scores)
        if role is None:
            yield f"{self.metric} must hold with the reranker, but the run has none that was scored"
            return
        yield from breached(f"{self.metric} of {role}", scores[role].metrics[self.metric], self.min, self.max)
        if self.better_than is not None:
            yield from self._compared(scores, comparison, self.better_than, "better")
        if self.not_worse_than is not None:
            yield from self._compared(scores, comparison, self.not_worse_than, "not worse")

    def _role(self, scores: Mapping[str, Scores]) -> str | None:
        return last_pair(scores) if self.reranked else last(scores)

    def _references(self) -> list[tuple[str, str]]:
        return [self._reference(text) for text in (self.better_than, self.not_worse_than) if text is not None]

    def _reference(self, text: str) -> tuple[str, str]:
        role, _, metric = text.partition("/")
        return role, metric or self.metric

    def _compared(
        self,
        scores: Mapping[str, Scores],
        comparison: Comparison | None,
        text: str,
        word: Literal["better", "not worse"],
    ) -> Iterator[str]:
        role, (other, metric) = self._role(scores) or "", self._reference(text)
        wanted = f"{self.metric} of {role} must be {word} than {metric} of {other}"
        if other not in scores or (role, self.metric) == (other, metric):
            yield f"{wanted}, but the run has no other model to compare with"
            return
        if metric not in scores[other].per_query:
            yield f"{wanted}, but {other} was not scored by it: its vectors are shorter"
            return
        for interval, trainings in differences(scores, comparison, (role, self.metric), (other, metric)):
            if interval.verdict == "worse" or (word == "better" and interval.verdict != "better"):
                outcome = "is worse" if interval.verdict == "worse" else "may not be"
                yield f"{wanted}, but {outcome}: {figures(interval, trainings)}"


def differences(
    scores: Mapping[str, Scores], comparison: Comparison | None, model: tuple[str, str], base: tuple[str, str]
) -> Iterator[tuple[Interval, int]]:
    """Compare two (role, metric): the first seed's models, then, of several seeds, what all make on average.

    Yields each interval with the number of trainings that it rests on.
    """
    yield _interval(scores, comparison, model, base), 1
    models, bases = (
        [scores[role].per_query[metric] for role in of_seeds(scores, named) if metric in scores[role].per_query]
        for named, metric in (model, base)
    )
    if len(models) > 1 or len(bases) > 1:
        yield paired_over_seeds(models, bases, units_of(scores)), max(len(models), len(bases))


def _interval(
    scores: Mapping[str, Scores], comparison: Comparison | None, model: tuple[str, str], base: tuple[str, str]
) -> Interval:
    """Compare two (role, metric), as the run's table does where it holds them."""
    for row in comparison.rows if comparison else ():
        if model == (row["role"], row["metric"]) and base == (row.get("against", "base"), row["metric"]):
            alone = row | {"verdict": row.get("verdict_alone") or row["verdict"]}
            return Interval(**{field.name: alone[field.name] for field in fields(Interval) if field.name in alone})
    values, others = (scores[role].per_query[metric] for role, metric in (model, base))
    return paired(values, others, units_of({role: scores[role] for role in (model[0], base[0])}))


def figures(interval: Interval, trainings: int = 1) -> str:
    """Say how large a difference is, how sure, and on what that rests."""
    if interval.low is None or interval.high is None:
        return f"{interval.difference:+.4f} on one query"
    over = f"{trainings} trainings and " if trainings > 1 else ""
    return (
        f"{interval.difference:+.4f}, 95% interval {interval.low:+.4f} to {interval.high:+.4f} over "
        f"{over}{interval.queries} queries ({interval.won} won, {interval.lost} lost){_in_units(interval)}"
    )


def _in_units(interval: Interval) -> str:
    few = f", of which {interval.units_differing} differ: too few for a verdict" if interval.few else ""
    return f" in {interval.units} independent units{few}" if few or interval.units != interval.queries else ""


def breached(name: str, value: float, low: float | None, high: float | None) -> Iterator[str]:
    if low is not None and not value >= low:
        yield f"{name} is {value:.4f}, below the least allowed, {low}"
    if high is not None and not value <= high:
        yield f"{name} is {value:.4f}, above the most allowed, {high}"
