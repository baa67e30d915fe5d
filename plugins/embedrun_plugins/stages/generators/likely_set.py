"""The set that a generator would make, before any question is known: for estimates of what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedrun.artifacts import SPLITS, Document, Judgement, Query, RetrievalSet, Split
from embedrun_plugins.results.query_metadata import PASSAGES_NEEDED
from embedrun_plugins.stages.generators.question_tasks import QuestionTask

_QUESTION = "?".rjust(72, "x")
"""As long as a question usually is."""


@dataclass(frozen=True)
class LikelySet(RetrievalSet):
    """A set's own judgements, and as many questions as are asked for, none of which is written yet."""

    tasks: Sequence[QuestionTask] = ()
    each: int = 0
    """Questions of a task."""

    @property
    def documents(self) -> dict[str, Document]:
        return RetrievalSet(self.path).documents

    @property
    def queries(self) -> dict[str, Query]:
        return {**RetrievalSet(self.path).queries, **{query.id: query for query, _ in self._new()}}

    @property
    def splits(self) -> tuple[Split, ...]:
        present = {*RetrievalSet(self.path).splits, *(task.passages[0].split for task in self.tasks)}
        return tuple(split for split in SPLITS if split in present)

    def qrels(self, split: Split) -> list[Judgement]:
        new = [(query, task) for query, task in self._new() if task.passages[0].split == split]
        judged = [Judgement(query.id, passage.document.id) for query, task in new for passage in task.passages]
        return [*RetrievalSet(self.path).qrels(split), *judged]

    def _new(self) -> list[tuple[Query, QuestionTask]]:
        metadata: Mapping[int, Mapping[str, object]] = {1: {}}
        return [
            (Query(f"question {number}.{part}", _QUESTION, metadata.get(size, {PASSAGES_NEEDED: size})), task)
            for number, task in enumerate(self.tasks)
            for size in (len(task.passages),)
            for part in range(self.each)
        ]
