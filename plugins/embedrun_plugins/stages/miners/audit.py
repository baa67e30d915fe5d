"""Judging a sample of the mined negatives: how many of them are answers?"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

from embedrun.artifacts import Judgement, Model
from embedrun.context import Context, Resolver, Unkeyed
from embedrun.errors import RequirementError
from embedrun_plugins.stages.miners.scorers import CrossEncoderChoice, Margins, SimilarityScorer
from embedrun_plugins.stages.named_models import ModelName
from embedrun_plugins.stages.texts.keys import joined

if TYPE_CHECKING:
    from embedrun_plugins.stages.miners.candidate_pool import Pool
    from embedrun_plugins.stages.miners.scorers import Scorer

_WORST = 5
"""Negatives shown in the notes."""
_SHOWN = 300
"""Letters of each text in the notes."""


class Audit(Margins):
    """How a sample of mined negatives is judged."""

    sample: int = Field(100, ge=1)
    """Negatives judged, drawn by the seed; all, if there are fewer."""
    model: ModelName | None = None
    """Cross-encoder that judges, better than the guard's: a folder or a hub id. By default the recipe's own model
    judges by similarity, which costs little and finds less."""
    revision: str | None = None
    """Commit, tag or branch of a model on the hub."""
    absolute_margin: float | None = 0.0
    """A negative is counted as false if its score is not lower than the answer's by more than this. Of several
    answers, the one with the lowest score counts."""
    max_share: float | None = Field(None, ge=0, lt=1)
    """Share of false negatives in the sample above which the run stops."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1)
    """Pairs scored at once."""

    def files(self) -> list[Path]:
        return self._judge().files() if self.model else []

    def faults(self) -> Iterable[str]:
        if self.model:
            yield from self._judge().faults()
        elif self.revision:
            yield "revision: has no effect without a model"
        elif not self.bounded:
            yield "can find no false negative: give it a margin or a max_score"

    def resolved(self, resolver: Resolver) -> Self:
        return self.model_copy(update={"revision": self._judge().resolved(resolver).revision}) if self.model else self

    def fetch(self, resolver: Resolver) -> None:
        if self.model:
            self._judge().fetch(resolver)

    def load(self, ctx: Context, model: Model) -> Scorer:
        """Load what judges."""
        if self.model:
            return self._judge().load(ctx, "negatives.audit")
        return SimilarityScorer(ctx, model, self.batch_size)

    def _judge(self) -> CrossEncoderChoice:
        return CrossEncoderChoice.model_validate(self.model_dump(exclude={"sample", "max_share"}))


def audit(ctx: Context, config: Audit, pool: Pool, negatives: Sequence[Judgement], scorer: Scorer) -> None:
    """Judge a sample of the negatives, write `audit.json` and note the share of false ones.

    Raises RequirementError where the share is above the limit.
    """
    drawn = random.Random(f"{ctx.seed} audit").sample(range(len(negatives)), min(config.sample, len(negatives)))  # noqa: S311
    rows = _judged(config, pool, [negatives[index] for index in sorted(drawn)], scorer)
    false = sum(row["false"] for row in rows)
    low, high = _interval(pool, rows)
    figures = {
        "judge": scorer.name,
        "sampled": len(rows),
        "false": false,
        "share": round(false / len(rows), 6),
        "low": round(low, 6),
        "high": round(high, 6),
    }
    share = f"{false} of {len(rows)} ({false / len(rows):.1%}, 95% interval {low:.1%} to {high:.1%})"
    ctx.note("audited_false_negatives", share)
    worst = [row | {name: _cut(row[name]) for name in ("query", "negative", "answer")} for row in rows[:_WORST]]
    ctx.note("audit", figures | {"worst": worst})
    _write(ctx.out / "audit.json", figures | {"negatives": rows})
    if config.max_share is not None and false / len(rows) > config.max_share:
        raise RequirementError(_refusal(config, share, worst))


def _interval(pool: Pool, rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return the 95% interval of the share of false negatives, those of questions that share an answer as one unit."""
    import numpy as np

    from embedrun_plugins.results.intervals import share_interval

    answers = {
        query.id: [query.id, *(document.id for document in documents)]
        for query, documents in zip(pool.queries, pool.answers, strict=True)
    }
    units = joined([answers[row["query_id"]] for row in rows])
    false = np.bincount(units, [float(row["false"]) for row in rows])
    sizes = np.bincount(units).astype(np.float64)
    return share_interval(false[sizes > 0].astype(np.float64), sizes[sizes > 0])


def _judged(config: Audit, pool: Pool, negatives: Sequence[Judgement], scorer: Scorer) -> list[dict[str, Any]]:
    """Return a row for each negative, the worst first."""
    import numpy as np

    numbers = {query.id: number for number, query in enumerate(pool.queries)}
    texts = {document.id: document.full_text for document in pool.documents}
    queries = [numbers[negative.query_id] for negative in negatives]
    scores = scorer.scores(
        [(pool.queries[n].text, texts[j.document_id]) for n, j in zip(queries, negatives, strict=True)], "audit"
    )
    lowest = _least_answers(pool, queries, scorer)
    false = config.too_near(scores, np.array([lowest[number][0] for number in queries], dtype=np.float32))
    rows = [
        {
            "query": pool.queries[number].text,
            "negative": texts[negative.document_id],
            "answer": lowest[number][1],
            "score": round(float(score), 6),
            "answer_score": round(lowest[number][0], 6),
            "false": bool(no),
            "query_id": negative.query_id,
            "document_id": negative.document_id,
        }
        for number, negative, score, no in zip(queries, negatives, scores, false, strict=True)
    ]
    return sorted(rows, key=lambda row: (not row["false"], row["answer_score"] - row["score"]))


def _least_answers(pool: Pool, queries: Sequence[int], scorer: Scorer) -> dict[int, tuple[float, str]]:
    """Return for each query the lowest score among its answers, and that answer's text."""
    rows = [(number, document.full_text) for number in dict.fromkeys(queries) for document in pool.answers[number]]
    scores = scorer.scores([(pool.queries[number].text, text) for number, text in rows], "audit: answers")
    lowest: dict[int, tuple[float, str]] = {}
    for (number, text), score in zip(rows, scores.tolist(), strict=True):
        lowest[number] = min(lowest.get(number, (score, text)), (score, text))
    return lowest


def _refusal(config: Audit, share: str, worst: Sequence[Mapping[str, Any]]) -> str:
    shown = "".join(
        f"\n  {row['query']!r}: {row['negative'][:120]!r} scores {row['score']:g}, its answer {row['answer_score']:g}"
        for row in worst[:3]
        if row["false"]
    )
    return (
        f"negatives.audit: {share} of the negatives sampled seem to be answers, but max_share is "
        f"{config.max_share:g}; start at a higher rank (range), set a margin or a guard, or raise max_share. "
        f"The worst:{shown}"
    )


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
