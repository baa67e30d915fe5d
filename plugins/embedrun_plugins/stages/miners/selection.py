"""Choosing each query's negatives among its candidates, in rounds, so that costly checks are made only where needed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from embedrun.artifacts import Judgement

if TYPE_CHECKING:
    from embedrun_plugins.stages.miners.candidate_pool import Pool
    from embedrun_plugins.stages.miners.guard import Guard
    from embedrun_plugins.stages.miners.ranking import Candidates


from functools import lru_cache
from typing import TYPE_CHECKING

from embedrun_plugins.stages.texts.near_duplicates import digits, runs

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass
class Draft:
    """A query's choice in the making."""

    query: int
    order: Iterator[int]
    """The candidates' ranks in the order in which they are tried."""
    kept: dict[int, float] = field(default_factory=dict)
    """Score by rank of those chosen."""
    keys: set[int] = field(default_factory=set)
    """Near keys of those tried: a negative is not taken twice in another spelling."""
    exhausted: bool = False


class Chooser:
    """Takes `per_query` negatives of each query's candidates; `counts` says what was kept out, and why."""

    def __init__(
        self, pool: Pool, *, per_query: int, shuffled: bool, seed: int, near_equal: float | None, guard: Guard | None
    ) -> None:
        self.pool, self.per_query, self.guard = pool, per_query, guard
        self.shuffled, self.seed = shuffled, seed
        self.resemblance = Resemblance(near_equal)
        self.counts: Counter[str] = Counter()

    def choose(self, candidates: Candidates) -> list[list[Judgement]]:
        """Return the negatives of each query of the block, best-ranked first."""
        allowed = self.pool.allowed(candidates.first, candidates.positions)
        self.counts["candidates_outside_limits"] += candidates.outside_limits
        self.counts["candidates_equal_to_answers"] += int((candidates.positions >= 0).sum() - allowed.sum())
        drafts = [
            Draft(candidates.first + row, iter(self._order(candidates.first + row, np.flatnonzero(ranks).tolist())))
            for row, ranks in enumerate(allowed)
        ]
        pending = drafts
        while pending:
            proposed = [(draft, rank) for draft in pending for rank in self._proposals(draft, candidates)]
            self._keep(proposed, candidates)
            pending = [d for d in pending if not d.exhausted and len(d.kept) < self.per_query]
        return [self._judgements(draft, candidates) for draft in drafts]

    def _order(self, query: int, ranks: list[int]) -> list[int]:
        if self.shuffled:
            # Seeded by the query, so that other queries do not change its negatives.
            random.Random(f"{self.seed} {self.pool.queries[query].id}").shuffle(ranks)  # noqa: S311  # no secret
        return ranks

    def _proposals(self, draft: Draft, candidates: Candidates) -> list[int]:
        """Return as many further ranks as are missing, if there are."""
        ranks: list[int] = []
        answers = [document.full_text for document in self.pool.answers_anywhere[draft.query]]
        while len(draft.kept) + len(ranks) < self.per_query:
            rank = next(draft.order, None)
            if rank is None:
                draft.exhausted = True
                break
            position = candidates.positions[draft.query - candidates.first, rank]
            key = int(self.pool.keys[position])
            if key in draft.keys:
                continue
            draft.keys.add(key)
            if self.resemblance.of_any(self.pool.documents[position].full_text, answers):
                self.counts["candidates_nearly_equal_to_answers"] += 1
            else:
                ranks.append(rank)
        return ranks

    def _keep(self, proposed: Sequence[tuple[Draft, int]], candidates: Candidates) -> None:
        rows = [(draft.query - candidates.first, rank) for draft, rank in proposed]
        scores, refused = [float(candidates.scores[row]) for row in rows], [False] * len(rows)
        if self.guard and rows:
            positions = [int(candidates.positions[row]) for row in rows]
            judged, refused = self.guard.judge([draft.query for draft, _ in proposed], positions)
            scores = judged if self.guard.gate.teach else scores
        for (draft, rank), score, no in zip(proposed, scores, refused, strict=True):
            if not no:
                draft.kept[rank] = score

    def _judgements(self, draft: Draft, candidates: Candidates) -> list[Judgement]:
        row, query = draft.query - candidates.first, self.pool.queries[draft.query].id
        positions = {rank: int(candidates.positions[row, rank]) for rank in sorted(draft.kept)}
        return [
            Judgement(query, self.pool.documents[position].id, draft.kept[rank]) for rank, position in positions.items()
        ]


_KEPT = 4096
"""Texts whose runs are remembered."""


class Resemblance:
    """Says whether a text nearly equals one of others, by the Jaccard similarity of their runs of letters."""

    def __init__(self, threshold: float | None) -> None:
        self.threshold = threshold
        self._runs = lru_cache(maxsize=_KEPT)(lambda text: np.unique(runs(text)))

    def of_any(self, text: str, others: Sequence[str]) -> bool:
        if self.threshold is None:
            return False
        numbers = digits(text)
        return any(self._near(self._runs(text), self._runs(other)) for other in others if digits(other) == numbers)

    def _near(self, left: NDArray[np.uint64], right: NDArray[np.uint64]) -> bool:
        if min(len(left), len(right)) < (self.threshold or 0) * max(len(left), len(right)):
            return False
        shared = len(np.intersect1d(left, right, assume_unique=True))
        return shared >= (self.threshold or 0) * (len(left) + len(right) - shared)
