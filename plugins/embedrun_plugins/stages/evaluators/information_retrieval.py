"""Retrieval quality: does each query find its documents?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from embedrun_plugins.stages.evaluators.retrieval_evaluator import RetrievalEvaluator, Rising


class InformationRetrieval(RetrievalEvaluator):
    """Search the split's documents with each of its queries, and score the rankings by the judgements.

    The search is exact. Metrics are defined as in sentence-transformers' InformationRetrievalEvaluator, and as in
    trec_eval except for map@k, which divides by min(k, relevant documents) where trec_eval divides by all of them.
    Beside the metrics it writes `per_query.json` and, for trec_eval or ir_measures to compute the same from,
    `qrels.trec` with `run.trec`, `run.dim_128.trec` …
    """

    type: Literal["information_retrieval"] = "information_retrieval"
    dimensions: Rising = ()
    """Leading dimensions to score besides the full vectors, for Matryoshka models, as in [64, 128, 256]. Texts are
    encoded once for all of them; the metrics are named dim_128_ndcg@10 and so on."""
    gains: Literal["binary", "graded"] = "binary"
    """What a document is worth to nDCG. binary: 1 if relevant, as in sentence-transformers. graded: its judged score,
    as in trec_eval and on BEIR's leaderboard; scores must then be whole numbers."""
    accuracy_at_k: Rising = (1, 3, 5, 10)
    """Cut-offs of accuracy: the share of queries with a relevant document among the first k."""
    hit_rate_at_k: Rising = ()
    """Cut-offs of the hit rate, another name for accuracy; to have it beside the other metrics, since the evaluator
    `hit_rate` encodes everything again."""
    precision_recall_at_k: Rising = (1, 3, 5, 10)
    """Cut-offs of precision (share of the first k that is relevant) and recall (share of the relevant among them)."""
    mrr_at_k: Rising = (10,)
    """Cut-offs of the mean reciprocal rank of the first relevant document."""
    ndcg_at_k: Rising = (10,)
    """Cut-offs of the normalised discounted cumulative gain."""
    map_at_k: Rising = (100,)
    """Cut-offs of the mean average precision."""

    def chosen_metrics(self, metrics: Sequence[str]) -> Sequence[str]:
        ndcg, mrr, recall = self.ndcg_at_k, self.mrr_at_k, self.precision_recall_at_k
        chosen = [f"{name}@{max(ks)}" for name, ks in (("ndcg", ndcg), ("mrr", mrr), ("recall", recall)) if ks]
        chosen += [f"hit_rate@{k}" for k in self.hit_rate_at_k]
        chosen += [f"dim_{dimension}_ndcg@{max(ndcg)}" for dimension in self.dimensions if ndcg]
        return [name for name in chosen if name in metrics] or metrics

    def cutoffs(self) -> Iterator[tuple[str, int]]:
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

    def cut_to(self) -> Sequence[int]:
        return self.dimensions

    def graded(self) -> bool:
        return self.gains == "graded"
