"""The groups that FlagEmbedding trains on: every question has as many negatives as a group takes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from embedrun.artifacts import Judgement, RetrievalSet
from embedrun.errors import UserError
from embedrun_plugins.stages.trainers.flag.flag_lines import Group, groups, taught
from embedrun_plugins.stages.trainers.rows import draw


@dataclass(frozen=True)
class Groups:
    """What is trained on, and what the user should know of how it was made, as counts by name."""

    found: Sequence[Group]
    notes: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.found)


def make(data: RetrievalSet, *, group_size: int, distil: bool, seed: int) -> Groups:
    """Make the groups; the runner itself fails where a question has no negatives, and repeats them where it has few.

    Missing ones are drawn at random from what other questions are trained with. To distil, which needs a score for
    each, questions without negatives are left out instead. Raises UserError where the split has nothing to learn from.
    """
    found = groups(data)
    if not found:
        hint = "check the source's columns, what the filters removed and what source.holdout left"
        raise UserError(f"the train split of {data.path} has no query with a relevant document; {hint}")
    if distil:
        return _scored(data, found)
    missing = [max(0, group_size - 1 - len(group.negatives)) for group in found]
    if not any(missing):
        return Groups(found)
    pool = sorted({judgement.document_id for group in found for judgement in (*group.positives, *group.negatives)})
    filled = [_filled(group, count, pool, seed) for group, count in zip(found, missing, strict=True)]
    if any(not group.negatives for group in filled):
        raise UserError(
            f"the train split of {data.path} has no passage that could be a negative of some question; give more, or "
            "set trainer.train_group_size: 1, to learn from the other passages of the batch alone"
        )
    return Groups(filled, {"negatives drawn at random": sum(missing)})


def _scored(data: RetrievalSet, found: Sequence[Group]) -> Groups:
    if not taught(found):
        raise UserError(
            f"trainer.knowledge_distillation: the set {data.path} holds no teacher's scores (all answers have the "
            "score 1, or there are no negatives); name the source's columns.positive_score and negative_score"
        )
    kept = [group for group in found if group.negatives]
    left_out = len(found) - len(kept)
    return Groups(kept, {"queries left out, without negatives": left_out} if left_out else {})


def _filled(group: Group, count: int, pool: Sequence[str], seed: int) -> Group:
    if not count:
        return group
    # Seeded by the query, so that its negatives do not depend on the order of the rows.
    source = random.Random(f"{seed} {group.query_id}")  # noqa: S311 - no secret
    taken = {judgement.document_id for judgement in (*group.positives, *group.negatives)}
    more = (Judgement(group.query_id, document, 0.0) for document in draw(source, pool, taken, count))
    return replace(group, negatives=(*group.negatives, *more))
