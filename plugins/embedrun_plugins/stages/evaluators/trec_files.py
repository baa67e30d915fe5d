"""TREC's run and judgement files, which every tool of the field reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedrun_plugins.results.stored_texts import word

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrun_plugins.stages.evaluators.retrieval_task import Retrieved, Task


def write_run(file: Path, task: Task, retrieved: Retrieved) -> None:
    """Write `query Q0 document rank score embedrun`, best first.

    Equal scores are set apart by the smallest step of a float32, so that every reader's own way of breaking ties gives
    this order.
    """
    names = [word(document.id) for document in task.documents]
    scores = _falling(retrieved.scores)
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for query, places, row in zip(task.queries, retrieved.places.tolist(), scores.tolist(), strict=True):
            name = word(query.id)
            stream.writelines(
                f"{name} Q0 {names[index]} {rank} {score:.9g} embedrun\n"
                for rank, (index, score) in enumerate(zip(places, row, strict=True), start=1)
                if index >= 0
            )


def write_qrels(file: Path, task: Task) -> None:
    """Write `query 0 document score` for each relevant document, as it was scored: 1 where gains are binary."""
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for query, relevant in zip(task.queries, task.relevant, strict=True):
            stream.writelines(
                f"{word(query.id)} 0 {word(document)} {int(gain)}\n" for document, gain in relevant.items()
            )


def _falling(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    scores = scores.copy()
    for rank in range(1, scores.shape[1]):
        below = np.nextafter(scores[:, rank - 1], np.float32(-np.inf))
        scores[:, rank] = np.minimum(scores[:, rank], below)
    return scores
