"""A set's training split as FlagEmbedding reads it, and what it trains on: each query with its negatives.

Its own form is {"query", "pos": […], "neg": […]}, one query a line; with a teacher's scores also "pos_scores" and
"neg_scores". The source `pairs` reads these files.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from embedrun.artifacts import Judgement, RetrievalSet
from embedrun.errors import UserError
from embedrun_plugins.stages.trainers.rows import draw
from embedrun_plugins.stages.trainers.training_rows import document_text, query_text


@dataclass(frozen=True)
class Group:
    """A query, the passages that answer it, and mined ones that do not, best-ranked first."""

    query_id: str
    positives: tuple[Judgement, ...]
    negatives: tuple[Judgement, ...]


def groups(data: RetrievalSet) -> list[Group]:
    """Return the training split's queries in file order; a passage that answers one is none of its negatives."""
    relevant = data.relevant("train")
    negatives: dict[str, dict[str, Judgement]] = {}
    for judgement in data.negatives():
        if judgement.document_id not in relevant.get(judgement.query_id, {}):
            negatives.setdefault(judgement.query_id, {}).setdefault(judgement.document_id, judgement)
    return [
        Group(
            query,
            tuple(Judgement(query, document, score) for document, score in answers.items()),
            tuple(negatives.get(query, {}).values()),
        )
        for query, answers in relevant.items()
    ]


def has_teacher_scores(rows: Sequence[Group]) -> bool:
    """Say whether the scores are a teacher's: a set without one gives every answer a 1."""
    negatives = any(group.negatives for group in rows)
    return negatives and any(judgement.score != 1 for group in rows for judgement in group.positives)


def lines(data: RetrievalSet, rows: Iterable[Group], *, scores: bool) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file. Raises DataError where a judgement names nothing."""
    for group in rows:
        line: dict[str, Any] = {
            "query": query_text(data, group.query_id),
            "pos": [document_text(data, judgement.document_id) for judgement in group.positives],
            "neg": [document_text(data, judgement.document_id) for judgement in group.negatives],
        }
        if scores:
            line["pos_scores"] = [judgement.score for judgement in group.positives]
            line["neg_scores"] = [judgement.score for judgement in group.negatives]
        yield line


@dataclass(frozen=True)
class TrainingGroups:
    """What is trained on, and what the user should know of how it was made, as counts by name."""

    rows: Sequence[Group]
    notes: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


def make(data: RetrievalSet, *, group_size: int, distil: bool, seed: int) -> TrainingGroups:
    """Make the groups; the runner itself fails where a query has no negatives, and repeats them where it has few.

    Missing ones are drawn at random from what other queries are trained with. To distil, which needs a score for
    each, queries without negatives are left out instead. Raises UserError where the split has nothing to learn from.
    """
    rows = groups(data)
    if not rows:
        hint = "check the source's columns, what the filters removed and what source.holdout left"
        raise UserError(f"the train split of {data.path} has no query with a relevant document; {hint}")
    if distil:
        return _scored(data, rows)
    missing = [max(0, group_size - 1 - len(group.negatives)) for group in rows]
    if not any(missing):
        return TrainingGroups(rows)
    pool = sorted({judgement.document_id for group in rows for judgement in (*group.positives, *group.negatives)})
    filled = [_filled(group, count, pool, seed) for group, count in zip(rows, missing, strict=True)]
    if any(not group.negatives for group in filled):
        raise UserError(
            f"the train split of {data.path} has no passage that could be a negative of some query; give more, or "
            "set trainer.train_group_size: 1, to learn from the other passages of the batch alone"
        )
    return TrainingGroups(filled, {"negatives drawn at random": sum(missing)})


def _scored(data: RetrievalSet, rows: Sequence[Group]) -> TrainingGroups:
    if not has_teacher_scores(rows):
        raise UserError(
            f"trainer.knowledge_distillation: the set {data.path} holds no teacher's scores (all answers have the "
            "score 1, or there are no negatives); name the source's columns.positive_score and negative_score"
        )
    scored = [group for group in rows if group.negatives]
    left_out = len(rows) - len(scored)
    return TrainingGroups(scored, {"queries left out, without negatives": left_out} if left_out else {})


def _filled(group: Group, count: int, pool: Sequence[str], seed: int) -> Group:
    if not count:
        return group
    # Seeded by the query, so that its negatives do not depend on the order of the rows.
    source = random.Random(f"{seed} {group.query_id}")  # noqa: S311 - no secret
    excluded = {judgement.document_id for judgement in (*group.positives, *group.negatives)}
    more = (Judgement(group.query_id, document, 0.0) for document in draw(source, pool, excluded, count))
    return replace(group, negatives=(*group.negatives, *more))
