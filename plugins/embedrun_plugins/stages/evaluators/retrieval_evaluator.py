"""What the evaluators that search with a split's queries share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from embedrun.artifacts import Comparison, Encoder, Model, RetrievalSet, Scores, Split
from embedrun.context import Context, Unkeyed
from embedrun.errors import suggest
from embedrun.stages import Evaluator, Reranker
from embedrun_plugins.stages.evaluators.query_styles import QueryStyles
from embedrun_plugins.stages.evaluators.query_units import Clusters, QueryUnits
from embedrun_plugins.stages.evaluators.thresholds import Limit
from embedrun_plugins.stages.evaluators.unjudged_copies import queries_with_copies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from embedrun_plugins.stages.evaluators.retrieval_task import Progress, Retrieved, Task, TooFew

TREC_DEPTH = 100
"""Documents of each query in a run file, unless a cut-off asks for more."""


def _unlimited(value: float | None) -> bool:
    return value is None


def _rising(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


Rising = Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(_rising)]


class RetrievalEvaluator(Evaluator, ABC):
    """Searches the split's documents, exactly, with each of its queries.

    Beside the metrics it writes `per_query.json` and, for trec_eval or ir_measures to compute the same from,
    `qrels.trec` with `run.trec`, `run.dim_128.trec` …
    """

    only_encodes: ClassVar[bool] = True
    version: ClassVar[int] = 2
    split: Split = "test"
    """Whose queries are asked: train, dev or test. Those without a relevant document are left out."""
    similarity: Literal["cosine", "dot", "euclidean", "manhattan"] | None = None
    """How vectors are compared; by default as the model says. The cosine of cut vectors is by their own lengths."""
    ignore_identical_ids: bool | None = None
    """Whether a document with its query's id is no result, as in BEIR. By default it is none only where it is the
    query itself (same text, not judged relevant: Quora, ArguAna), but one where both are just numbered (Cranfield)."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1)
    """Texts encoded at once."""
    metric: str | None = None
    """The metric that the verdict is on, shown first; by default nDCG, or the first that is measured. Verdicts on the
    others are corrected for how many are looked at."""
    clusters: Clusters | None = None
    """What makes queries one independent unit, on which intervals rest. document: a shared relevant document, or a near
    copy of it. source: also the same source of these, where their metadata names one (source, filing, file, user).
    none: every query is its own. By default source where there are at least 30 of them, else document."""
    max_trained_on: float | None = Field(None, ge=0, le=1, exclude_if=_unlimited)
    """Share of the split's distinct passages that may be trained on, equal but for case, space and punctuation; with
    more the run fails, as for a limit of `require`. 0 allows none."""
    require: Annotated[tuple[Limit, ...], Unkeyed] = ()
    """Limits that fail the run, as in {metric: dim_128_ndcg@10, better_than: base/ndcg@10}. Of several seeds, the first
    one's model must hold them, and for better_than and not_worse_than all on average, too."""

    def run(self, ctx: Context, data: RetrievalSet, model: Model) -> Scores:
        from embedrun_plugins.models import cut_texts

        for measured in cut_texts.of_set(model, data):
            if measured.cut:
                ctx.note(f"{measured.noun}_cut", round(measured.share, 4))
            if measured.matters:
                ctx.warn(measured.sentence)
        return self._scored(ctx, data, model.load(ctx.device))

    def evaluate(self, ctx: Context, data: RetrievalSet, encoder: Encoder) -> Scores:
        return self._scored(ctx, data, encoder, partial(_warned, ctx))

    def _scored(self, ctx: Context, data: RetrievalSet, encoder: Encoder, too_few: TooFew | None = None) -> Scores:
        task = self._task(data, self.split)
        ctx.note("queries", len(task.queries))
        ctx.note("documents", len(task.documents))
        for warning in task.warnings:
            ctx.warn(warning)
        by_size = self.retrieved(encoder, task, TREC_DEPTH, ctx.progress, too_few, ctx.state / "vectors")
        if self.max_trained_on is not None:
            from embedrun_plugins.results.train_overlap import TrainOverlap

            TrainOverlap.of(data, self.split).write(ctx.out)
        return self._written(ctx, task, by_size)

    def ranks(self) -> int:
        return max(TREC_DEPTH, *(k for _, k in self.cutoffs()))

    def rerank(
        self, ctx: Context, data: RetrievalSet, first: Scores, reranker: Reranker, tuned: Model | None
    ) -> Scores:
        """Score the first stage's rankings, by the full vectors, the first of each in the reranker's order.

        Beside the scores it writes `depths.json`, the curve over depth, and notes what each depth costs a query.
        """
        from embedrun_plugins.stages.evaluators import two_stages

        task = self._task(data, self.split)
        retrieved = two_stages.read_run(first.path / "run.trec", task, self.ranks())
        depth = min(reranker.depth, len(task.documents))
        scorer = reranker.load(ctx, tuned)
        scores = two_stages.pair_scores(retrieved, task, depth, scorer)
        curve, ceilings = {}, {}
        for point in two_stages.points(depth):
            measured = self.measured(task, {"": two_stages.reordered(retrieved, scores, point)})
            curve[point] = {name: float(values.mean()) for name, values in measured.items()}
            ceilings[point] = two_stages.ceiling(retrieved, task, point)
        waits = two_stages.milliseconds(retrieved, task, list(curve), scorer)
        ctx.note("depth", depth)
        ctx.note("milliseconds_per_query", {str(point): wait for point, wait in waits.items()})
        ctx.note("ceiling", round(ceilings[depth], 4))
        written = self._written(ctx, task, {"": two_stages.reordered(retrieved, scores, depth)})
        two_stages.write(ctx, curve, ceilings, depth)
        return written

    def _written(self, ctx: Context, task: Task, by_size: Mapping[str, Retrieved]) -> Scores:
        """Write what rankings are worth, and the rankings."""
        from embedrun_plugins.stages.evaluators import trec_files

        scores = self.measured(task, by_size)
        for label, retrieved in by_size.items():
            trec_files.write_run(ctx.out / ".".join(filter(None, ("run", label, "trec"))), task, retrieved)
        trec_files.write_qrels(ctx.out / "qrels.trec", task)
        units = QueryUnits.of(task, self.clusters)
        units.write(ctx.out)
        QueryStyles.of(task).write(ctx.out)
        ctx.note("independent_units", len(units))
        ctx.note("units_by", units.by)
        if copies := queries_with_copies(task):
            ctx.note("queries_with_unjudged_copies", copies)
        per_query = {name: task.by_query_id(values) for name, values in scores.items()}
        return Scores.write(ctx.out, {name: float(values.mean()) for name, values in scores.items()}, per_query)

    def score(self, model: SentenceTransformer, data: RetrievalSet, split: Split) -> dict[str, float]:
        task = self._task(data, split)
        scores = self.measured(task, self.retrieved(model, task, 1, lambda *_: None))
        return {name: float(values.mean()) for name, values in scores.items()}

    def metrics(self) -> frozenset[str]:
        return frozenset(f"{prefix}{name}@{k}" for prefix in self._prefixes() for name, k in self.cutoffs())

    def split_needed(self) -> Split:
        return self.split

    def faults(self) -> Iterable[str]:
        if not self.metrics():
            yield "measures nothing: all its lists of cut-offs are empty"
        elif self.metric and self.metric not in self.metrics():
            yield f"metric: no metric '{self.metric}' is measured{suggest(self.metric, self.metrics())}"
        for limit in self.require:
            yield from limit.faults(self.metrics())

    def compare(self, ctx: Context, scores: Mapping[str, Scores]) -> Comparison:
        from embedrun_plugins.stages.evaluators.paired_differences import comparison

        return comparison(ctx, scores, self.headline(list(next(iter(scores.values())).metrics))[0])

    def headline(self, metrics: Sequence[str]) -> Sequence[str]:
        """Choose what tables show: the metric that the verdict is on, then the others that matter."""
        chosen = self.chosen_metrics(metrics)
        if self.metric is None or self.metric not in metrics:
            return chosen
        return [self.metric, *(name for name in chosen if name != self.metric)]

    def chosen_metrics(self, metrics: Sequence[str]) -> Sequence[str]:
        """Choose the metrics that matter most, the first being what the verdict is on by default."""
        return metrics

    def models_named(self) -> Iterable[str]:
        return [role for limit in self.require for role in limit.models()]

    def unmet(self, scores: Mapping[str, Scores], comparison: Comparison | None) -> Iterable[str]:
        for limit in self.require:
            yield from limit.unmet(scores, comparison)
        if self.max_trained_on is not None:
            from embedrun_plugins.results import train_overlap

            yield from train_overlap.exceeded(scores, self.split, self.max_trained_on)

    @abstractmethod
    def cutoffs(self) -> Iterator[tuple[str, int]]:
        """Yield what is measured: a measure's name, as in `MEASURES`, and its cut-off."""

    def cut_to(self) -> Sequence[int]:
        """Return the leading dimensions to score besides the full vectors."""
        return ()

    def graded(self) -> bool:
        """Say whether a document is worth its judged score, not just 1."""
        return False

    def _prefixes(self) -> list[str]:
        return ["", *(f"dim_{dimension}_" for dimension in self.cut_to())]

    def _task(self, data: RetrievalSet, split: Split) -> Task:
        from embedrun_plugins.stages.evaluators.retrieval_task import Task

        return Task.of(data, split, graded=self.graded(), ignore_identical_ids=self.ignore_identical_ids)

    def retrieved(
        self,
        model: Encoder,
        task: Task,
        depth: int,
        progress: Progress,
        too_few: TooFew | None = None,
        shards: Path | None = None,
    ) -> dict[str, Retrieved]:
        from embedrun_plugins.stages.evaluators.retrieval_task import EncodingOptions, refused, retrieve

        return retrieve(
            model,
            task,
            depth=max(depth, *(k for _, k in self.cutoffs())),
            dimensions=self.cut_to(),
            similarity=self.similarity,
            encoding=EncodingOptions(self.batch_size, shards),
            progress=progress,
            too_few=too_few or refused,
        )

    def measured(self, task: Task, by_size: Mapping[str, Retrieved]) -> dict[str, NDArray[np.float64]]:
        """Return the metrics by name, each (queries,)."""
        from embedrun_plugins.stages.evaluators.metrics import MEASURES

        scores = {}
        for label, retrieved in by_size.items():
            judged = task.judge(retrieved)
            for name, k in self.cutoffs():
                scores["_".join(filter(None, (label, f"{name}@{k}")))] = MEASURES[name](judged, k)
        return scores


def _warned(ctx: Context, above: Sequence[int], full: int) -> None:
    """Leave out what another model's vectors are too short for, since the recipe's dimensions are not about it."""
    ctx.warn(f"its vectors have {full} dimensions, so it is not scored at {', '.join(map(str, above))}")
