"""Two stages: what a model retrieves, put in a new order by a reranker, and what each depth gains and costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedrun import plain_files
from embedrun.artifacts import PairScorer
from embedrun_plugins.results.stored_texts import word
from embedrun_plugins.stages.evaluators.metrics import recall
from embedrun_plugins.stages.evaluators.retrieval_task import Retrieved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrun.context import Context
    from embedrun_plugins.stages.evaluators.retrieval_task import Task

FILE = "depths.json"
DEPTHS = (5, 10, 20, 50, 100, 200, 500, 1000)
"""Where the curve over depth has points, up to the recipe's own."""
_TIMED = 5
"""Queries whose passages are scored one by one, to see what a query waits for."""


def read_run(file: Path, task: Task, depth: int) -> Retrieved:
    """Read what `trec_files.write_run` wrote, the first `depth` of each query; scores are those of the file."""
    positions = {word(document.id): position for position, document in enumerate(task.documents)}
    rows: dict[str, list[tuple[int, float]]] = {word(query.id): [] for query in task.queries}
    with file.open(encoding="utf-8") as stream:
        for line in stream:
            query, _, document, _, similarity, _ = line.split(" ")
            rows[query].append((positions[document], float(similarity)))
    places = np.full((len(rows), depth), -1, dtype=np.int64)
    scores = np.full((len(rows), depth), -np.inf, dtype=np.float32)
    for number, row in enumerate(rows.values()):
        for rank, (position, score) in enumerate(row[:depth]):
            places[number, rank], scores[number, rank] = position, score
    return Retrieved(places, scores)


def pair_scores(first: Retrieved, task: Task, depth: int, scorer: PairScorer) -> NDArray[np.float32]:
    """Return the reranker's score of each query's first passages, (queries, depth); -infinity where there is none."""
    places = first.places[:, :depth]
    rows, ranks = np.nonzero(places >= 0)
    candidates = zip(rows.tolist(), places[rows, ranks].tolist(), strict=True)
    pairs = [(task.queries[row].text, task.documents[position].full_text) for row, position in candidates]
    unique: dict[tuple[str, str], int] = {}
    index = [unique.setdefault(pair, len(unique)) for pair in pairs]
    scores = np.full(places.shape, -np.inf, dtype=np.float32)
    scores[rows, ranks] = np.asarray(scorer.scores(list(unique), "rerank"), dtype=np.float32)[index]
    return scores


def reordered(first: Retrieved, scores: NDArray[np.float32], depth: int) -> Retrieved:
    """Put the first `depth` passages in the reranker's order; the others stay behind them, as they were.

    Among equal scores, the first stage decides. The others' scores are set below the last one's.
    """
    head = np.where(first.places[:, :depth] >= 0, scores[:, :depth], -np.inf)
    order = np.argsort(-head, axis=1, kind="stable")
    places, values = first.places.copy(), np.full(first.scores.shape, -np.inf, dtype=np.float32)
    places[:, :depth] = np.take_along_axis(first.places[:, :depth], order, axis=1)
    values[:, :depth] = np.take_along_axis(head, order, axis=1)
    ranks = np.arange(1, places.shape[1] - depth + 1, dtype=np.float32)
    values[:, depth:] = np.where(places[:, depth:] >= 0, values[:, depth - 1 : depth] - ranks, -np.inf)
    return Retrieved(places, values)


def points(depth: int) -> list[int]:
    return sorted({*(point for point in DEPTHS if point < depth), depth})


def ceiling(first: Retrieved, task: Task, depth: int) -> float:
    """Return the mean recall of the first `depth` passages: what no new order of them can exceed."""
    return float(recall(task.judge(first), depth).mean())


def milliseconds(first: Retrieved, task: Task, depths: Sequence[int], scorer: PairScorer) -> Mapping[int, float]:
    """Measure what a query waits for at each depth: the median of a few queries, asked one at a time."""
    count = min(_TIMED, len(task.queries))
    waits: dict[int, float] = {}
    for depth in depths:
        seconds = []
        for query in range(count):
            positions = [position for position in first.places[query, :depth].tolist() if position >= 0]
            pairs = [(task.queries[query].text, task.documents[position].full_text) for position in positions]
            started = time.perf_counter()
            scorer.scores(pairs, "")
            seconds.append(time.perf_counter() - started)
        waits[depth] = round(float(np.median(seconds)) * 1000, 1)
    return waits


def write(ctx: Context, curve: Mapping[int, Mapping[str, float]], ceilings: Mapping[int, float], depth: int) -> None:
    """Write the curve over depth beside the scores: `{depth, points: [{depth, ceiling, metrics}]}`."""
    rows = [{"depth": d, "ceiling": ceilings[d], "metrics": dict(metrics)} for d, metrics in curve.items()]
    plain_files.write_json(ctx.out / FILE, {"depth": depth, "points": rows})
