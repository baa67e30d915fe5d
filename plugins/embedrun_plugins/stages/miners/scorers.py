"""Telling answers from negatives by scores: the limits that a recipe sets, and the models that score a pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from embedrun.artifacts import Model
from embedrun.context import Context, Resolver, Unkeyed
from embedrun.errors import StageError, UserError
from embedrun_plugins.stages.named_models import ModelName, commit_of, files_of, folder_of, missing_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCHES_PER_CHUNK = 16
"""Batches between two reports of progress."""


class Margins(BaseModel):
    """How near to an answer's score a passage's may come. Every limit that is set must hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_score: float | None = None
    """A passage that scores above this is no negative."""
    absolute_margin: float | None = None
    """A negative must score less than the answer by more than this (TopK-MarginPos of NV-Retriever, Moreira et al.
    2024). Of several answers, the one with the lowest score counts."""
    relative_margin: float | None = Field(None, ge=0)
    """The same with a share of the answer's score: 0.05 lets negatives reach 95% of it (TopK-PercPos)."""

    @property
    def bounded(self) -> bool:
        return any(limit is not None for limit in (self.max_score, self.absolute_margin, self.relative_margin))

    def too_near(self, scores: NDArray[np.float32], answers: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Say which scores are an answer's rather than a negative's.

        `answers` holds the lowest score of the query's answers, in a shape that broadcasts to that of `scores`.
        """
        import numpy as np

        near = np.zeros(scores.shape, dtype=bool)
        if self.max_score is not None:
            near |= scores > self.max_score
        if self.absolute_margin is not None:
            near |= scores >= answers - np.float32(self.absolute_margin)
        if self.relative_margin is not None:
            near |= scores >= answers - np.float32(self.relative_margin) * np.abs(answers)
        return near


class CrossEncoderChoice(Margins):
    """A cross-encoder that reads query and passage together, and what it takes for an answer."""

    model: ModelName
    """Cross-encoder: a folder (from the recipe's, or the current one) or a hub id, as in
    cross-encoder/ms-marco-MiniLM-L6-v2. Scores are as it gives them: some give numbers from 0 to 1, others any."""
    revision: str | None = None
    """Commit, tag or branch of a model on the hub."""
    absolute_margin: float | None = 0.0
    """A passage is taken for an answer if its score is not lower than the answer's by more than this. Of several
    answers, the one with the lowest score counts."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1)
    """Pairs scored at once."""

    def files(self) -> list[Path]:
        return files_of(self.model)

    def faults(self) -> Iterable[str]:
        if missing := missing_folder(self.model):
            yield f"model: {missing}"
        if not self.bounded:
            yield "can find no false negative: give it a margin or a max_score"

    def resolved(self, resolver: Resolver) -> Self:
        """Return a copy with the model's revision fixed to a commit."""
        revision = commit_of(self.model, self.revision, offline=resolver.offline)
        return self.model_copy(update={"revision": revision})

    def fetch(self, resolver: Resolver) -> None:
        folder_of(self.model, self.revision, offline=resolver.offline)

    def load(self, ctx: Context, key: str) -> CrossEncoderScorer:
        """Load the cross-encoder, for the recipe's `key`. Raises UserError where it is none."""
        return CrossEncoderScorer(ctx, key, self)


class GuardChoice(CrossEncoderChoice):
    """The cross-encoder that candidates must pass, and what else becomes of its scores."""

    teach: bool = False
    """Whether its scores are written as a teacher's, for positives and negatives alike, so that a loss or trainer that
    distils learns from them. If it scores a positive 0 or less, a constant is added to all: such losses compare."""


Pair = tuple[str, str]
"""The text of a query, and that of a passage."""


class Scorer(Protocol):
    """What judges pairs."""

    name: str
    """What it is called in reports."""

    def scores(self, pairs: Sequence[Pair], label: str) -> NDArray[np.float32]:
        """Return how well each passage answers its query, (pairs,); progress is reported under the label."""


class CrossEncoderScorer:
    """Scores pairs by a cross-encoder, a bounded number at once."""

    def __init__(self, ctx: Context, key: str, choice: CrossEncoderChoice) -> None:
        from sentence_transformers import CrossEncoder

        self.ctx, self.key, self.batch_size = ctx, key, choice.batch_size
        self.name = Path(choice.model).name if Path(choice.model).is_dir() else choice.model
        folder = folder_of(choice.model, choice.revision, offline=ctx.offline)
        try:
            self.model = CrossEncoder(str(folder), device=ctx.device, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{key}.model: '{choice.model}' cannot be loaded as a cross-encoder: {error}") from error
        if self.model.num_labels != 1:
            raise UserError(
                f"{key}.model: '{choice.model}' gives {self.model.num_labels} numbers for a pair; "
                "name a cross-encoder that gives one score"
            )

    def scores(self, pairs: Sequence[Pair], label: str) -> NDArray[np.float32]:
        import numpy as np

        scores = np.empty(len(pairs), dtype=np.float32)
        size = self.batch_size * BATCHES_PER_CHUNK
        for start in range(0, len(pairs), size):
            chunk: Any = list(pairs[start : start + size])
            scores[start : start + size] = self.model.predict(
                chunk, batch_size=self.batch_size, show_progress_bar=False
            )
            self.ctx.progress(label, start + len(chunk), len(pairs))
        if not np.isfinite(scores).all():
            raise StageError(f"{self.key}: {self.name} gives NaN or infinity as a score")
        return scores


class SimilarityScorer:
    """Scores pairs by the similarity that the recipe's own model gives them, with its prompts."""

    def __init__(self, ctx: Context, model: Model, batch_size: int) -> None:
        self.ctx, self.batch_size = ctx, batch_size
        self.model = model.load(ctx.device)
        self.name = "the model itself"

    def scores(self, pairs: Sequence[Pair], label: str) -> NDArray[np.float32]:
        from embedrun_plugins.models.encode import embed
        from embedrun_plugins.stages.miners.ranking import pair_scores

        progress, shards = partial(self.ctx.progress, label), self.ctx.state / "vectors"
        sides = [[pair[side] for pair in pairs] for side in (0, 1)]
        queries = embed(self.model, sides[0], "query", self.batch_size, progress, shards)
        documents = embed(self.model, sides[1], "document", self.batch_size, progress, shards)
        return pair_scores(queries, documents, self.model.similarity_fn_name)
