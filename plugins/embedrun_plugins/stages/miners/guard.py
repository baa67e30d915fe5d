"""A cross-encoder that keeps answers out of the negatives, and may lend its scores to training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from embedrun.artifacts import Document, Judgement, RetrievalSet

if TYPE_CHECKING:
    from embedrun_plugins.stages.miners.candidate_pool import Pool
    from embedrun_plugins.stages.miners.scorers import GuardChoice, Scorer


class Guard:
    """Refuses candidates that its cross-encoder takes for an answer."""

    def __init__(self, pool: Pool, gate: GuardChoice, scorer: Scorer) -> None:
        self.pool, self.gate, self.scorer = pool, gate, scorer
        self.answers: dict[int, list[float]] = {}
        """The score of each of a query's answers, in the pool's order."""
        self.scored = self.refused = 0

    def judge(self, queries: Sequence[int], positions: Sequence[int]) -> tuple[list[float], list[bool]]:
        """Return the score of each passage at `places` for the query beside it, and whether it is refused."""
        self._score_answers(dict.fromkeys(queries))
        scores = self._scores(((q, self.pool.documents[p]) for q, p in zip(queries, positions, strict=True)), "guard")
        answers = np.array([min(self.answers[query]) for query in queries], dtype=np.float32)
        refused = self.gate.too_near(np.array(scores, dtype=np.float32), answers)
        self.scored += len(scores)
        self.refused += int(refused.sum())
        return scores, refused.tolist()

    def taught(
        self, data: RetrievalSet, given: Sequence[Judgement], mined: Sequence[Judgement]
    ) -> tuple[list[Judgement], list[Judgement], float]:
        """Return the train split's judgements and the negatives with the cross-encoder's scores, and what was added.

        `mined` has them already. An answer must score above 0, which a constant added to all scores sees to.
        """
        numbers = {query.id: number for number, query in enumerate(self.pool.queries)}
        self._score_answers(numbers.values())
        scores = {
            (self.pool.queries[number].id, document.id): score
            for number, answer_scores in self.answers.items()
            for document, score in zip(self.pool.answers[number], answer_scores, strict=True)
        }
        kept = [judgement for judgement in given if judgement.query_id in numbers]
        rows = ((numbers[j.query_id], data.documents[j.document_id]) for j in kept)
        judged = [
            Judgement(j.query_id, j.document_id, s) for j, s in zip(kept, self._scores(rows, "teach"), strict=True)
        ]
        lowest = min(scores.values())
        added = 0.0 if lowest > 0 else 1.0 - lowest
        positives = [
            Judgement(j.query_id, j.document_id, scores[j.query_id, j.document_id] + added) if j.score > 0 else j
            for j in data.qrels("train")
        ]
        return positives, [Judgement(j.query_id, j.document_id, j.score + added) for j in (*judged, *mined)], added

    def _score_answers(self, queries: Iterable[int]) -> None:
        missing = [query for query in queries if query not in self.answers]
        rows = [(query, document) for query in missing for document in self.pool.answers[query]]
        for (query, _), score in zip(rows, self._scores(rows, "guard: answers"), strict=True):
            self.answers.setdefault(query, []).append(score)

    def _scores(self, rows: Iterable[tuple[int, Document]], label: str) -> list[float]:
        pairs = [(self.pool.queries[query].text, document.full_text) for query, document in rows]
        scores: list[float] = self.scorer.scores(pairs, label).tolist()
        return scores
