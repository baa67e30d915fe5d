"""Retrieval quality: does each query find its documents?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from embedrun.artifacts import Comparison, Model, RetrievalSet, Scores, Split
from embedrun.context import Context, Unkeyed
from embedrun.stages import Evaluator
from embedrun_plugins.evaluators.limits import Limit
from embedrun_plugins.evaluators.statistics import comparison

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from embedrun_plugins.evaluators.retrieval import Progress, Retrieved, Task

TREC_DEPTH = 100
"""Documents of each query in a run file, unless a cut-off asks for more."""


def _rising(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


Rising = Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(_rising)]


class InformationRetrieval(Evaluator):
    """Search the split's documents with each of its queries, and score the rankings by the judgements.

    The search is exact. Metrics are defined as in sentence-transformers' InformationRetrievalEvaluator, and as in
    trec_eval except for map@k, which divides by min(k, relevant documents) where trec_eval divides by all of them.
    Beside the metrics it writes `per_query.json` and, for trec_eval or ir_measures to compute the same from,
    `qrels.trec` with `run.trec`, `run.dim_128.trec` …
    """

    type: Literal["information_retrieval"] = "information_retrieval"
    split: Split = "test"
    """Whose queries are asked: train, dev or test. Those without a relevant document are left out."""
    dimensions: Rising = ()
    """Leading dimensions to score besides the full vectors, for Matryoshka models, as in [64, 128, 256]. Texts are
    encoded once for all of them; the metrics are named dim_128_ndcg@10 and so on."""
    similarity: Literal["cosine", "dot", "euclidean", "manhattan"] | None = None
    """How vectors are compared; by default as the model says. The cosine of cut vectors is by their own lengths."""
    gains: Literal["binary", "graded"] = "binary"
    """What a document is worth to nDCG. binary: 1 if relevant, as in sentence-transformers. graded: its judged score,
    as in trec_eval and on BEIR's leaderboard; scores must then be whole numbers."""
    accuracy_at_k: Rising = (1, 3, 5, 10)
    """Cut-offs of accuracy: the share of queries with a relevant document among the first k."""
    hit_rate_at_k: Rising = ()
    """Cut-offs of the hit rate, another name for accuracy."""
    precision_recall_at_k: Rising = (1, 3, 5, 10)
    """Cut-offs of precision (share of the first k that is relevant) and recall (share of the relevant among them)."""
    mrr_at_k: Rising = (10,)
    """Cut-offs of the mean reciprocal rank of the first relevant document."""
    ndcg_at_k: Rising = (10,)
    """Cut-offs of the normalised discounted cumulative gain."""
    map_at_k: Rising = (100,)
    """Cut-offs of the mean average precision."""
    ignore_identical_ids: bool | None = None
    """Whether a document with its query's id is no result, as in BEIR. By default it is none only where it is the
    query itself (same text, not judged relevant: Quora, ArguAna), but one where both are just numbered (Cranfield)."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1)
    """Texts encoded at once."""
    require: Annotated[tuple[Limit, ...], Unkeyed] = ()
    """Limits that fail the run, as in {metric: dim_128_ndcg@10, better_than: base/ndcg@10}."""

    def run(self, ctx: Context, data: RetrievalSet, model: Model) -> Scores:
        from embedrun_plugins.evaluators import trec

        task = self._task(data, self.split)
        ctx.note("queries", len(task.queries))
        ctx.note("documents", len(task.documents))
        for warning in task.warnings:
            ctx.warn(warning)
        found = self.retrieved(model.load(ctx.device), task, TREC_DEPTH, ctx.progress)
        scores = self.measured(task, found)
        for label, retrieved in found.items():
            trec.write_run(ctx.out / ".".join(filter(None, ("run", label, "trec"))), task, retrieved)
        trec.write_qrels(ctx.out / "qrels.trec", task)
        per_query = {name: task.by_query_id(values) for name, values in scores.items()}
        return Scores.write(ctx.out, {name: float(values.mean()) for name, values in scores.items()}, per_query)

    def score(self, model: SentenceTransformer, data: RetrievalSet, split: Split) -> dict[str, float]:
        task = self._task(data, split)
        scores = self.measured(task, self.retrieved(model, task, 1, lambda *_: None))
        return {name: float(values.mean()) for name, values in scores.items()}

    def metrics(self) -> frozenset[str]:
        return frozenset(f"{prefix}{name}@{k}" for prefix in self._prefixes() for name, k in self._cutoffs())

    def headline(self, metrics: Sequence[str]) -> Sequence[str]:
        ndcg, mrr, recall = self.ndcg_at_k, self.mrr_at_k, self.precision_recall_at_k
        chosen = [f"{name}@{max(ks)}" for name, ks in (("ndcg", ndcg), ("mrr", mrr), ("recall", recall)) if ks]
        chosen += [f"{prefix}ndcg@{max(ndcg)}" for prefix in self._prefixes()[1:] if ndcg]
        return [name for name in chosen if name in metrics] or metrics

    def split_needed(self) -> Split:
        return self.split

    def faults(self) -> Iterable[str]:
        if not self.metrics():
            yield "measures nothing: all its lists of cut-offs are empty"
        for limit in self.require:
            yield from limit.faults(self.metrics())

    def compare(self, ctx: Context, scores: Mapping[str, Scores]) -> Comparison:
        return comparison(ctx, scores)

    def unmet(self, scores: Mapping[str, Scores], comparison: Comparison | None) -> Iterable[str]:
        for limit in self.require:
            yield from limit.unmet(scores, comparison)

    def _cutoffs(self) -> Iterator[tuple[str, int]]:
        named = {
            "accuracy": self.accuracy_at_k,
            "hit_rate": self.hit_rate_at_k,
            "precision": self.precision_recall_at_k,
            "recall": self.precision_recall_at_k,
            "mrr": self.mrr_at_k,
            "ndcg": self.ndcg_at_k,
            "map": self.map_at_k,
        }
        for name, cutoffs in named.items():
            for k in cutoffs:
                yield name, k

    def _prefixes(self) -> list[str]:
        return ["", *(f"dim_{dimension}_" for dimension in self.dimensions)]

    def _task(self, data: RetrievalSet, split: Split) -> Task:
        from embedrun_plugins.evaluators.retrieval import Task

        return Task.of(data, split, graded=self.gains == "graded", ignore_identical_ids=self.ignore_identical_ids)

    def retrieved(self, model: SentenceTransformer, task: Task, depth: int, progress: Progress) -> dict[str, Retrieved]:
        from embedrun_plugins.evaluators.retrieval import retrieve

        return retrieve(
            model,
            task,
            depth=max(depth, *(k for _, k in self._cutoffs())),
            dimensions=self.dimensions,
            similarity=self.similarity,
            batch_size=self.batch_size,
            progress=progress,
        )

    def measured(self, task: Task, found: Mapping[str, Retrieved]) -> dict[str, NDArray[np.float64]]:
        """Return the metrics by name, each (queries,)."""
        from embedrun_plugins.evaluators.measures import MEASURES

        scores = {}
        for label, retrieved in found.items():
            judged = task.judge(retrieved)
            for name, k in self._cutoffs():
                scores["_".join(filter(None, (label, f"{name}@{k}")))] = MEASURES[name](judged, k)
        return scores
