"""Hit rate: is the expected document among the first?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from embedrun_plugins.stages.evaluators.retrieval_evaluator import RetrievalEvaluator, Rising


class HitRate(RetrievalEvaluator):
    """The share of queries that find the document they expect among the first k, as LlamaIndex's evaluation has it.

    Where a query has several relevant documents, one of them will do. It equals the accuracy of
    `information_retrieval`, which measures more; the queries and documents are encoded with the model's own prompts.
    """

    type: Literal["hit_rate"] = "hit_rate"
    at_k: Rising = (1, 5, 10)
    """The cut-offs k; the metrics are named hit_rate@1 and so on."""

    def cutoffs(self) -> Iterator[tuple[str, int]]:
        for k in self.at_k:
            yield "hit_rate", k
