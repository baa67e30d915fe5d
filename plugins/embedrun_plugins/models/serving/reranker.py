"""A reranker behind a queue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from embedrun.artifacts import Model
from embedrun_plugins.models import cross_encoders
from embedrun_plugins.models.serving.encoders import Direction, Vectors
from embedrun_plugins.models.serving.errors import RequestError
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.pairs import pair_encoder_for
from embedrun_plugins.models.serving.request_queue import RequestQueue


class RequestReranker(RequestQueue):
    """Scores pairs for many requests at once."""

    def __init__(
        self, model: Model, limits: ServerLimits, metrics: Metrics, device: str | None = None, name: str | None = None
    ) -> None:
        loaded: Any = cross_encoders.load(model, device)
        self._encoder = pair_encoder_for(loaded)
        super().__init__(loaded, self._encoder, name or Path(model.path).name, limits, metrics)

    async def score(
        self, query: str, texts: Sequence[str], *, truncate: bool | None, direction: Direction
    ) -> tuple[Vectors, int]:
        """Return (texts,) scores before any sigmoid, and the number of tokens; raises RequestError."""
        if not query or not texts or not all(texts):
            raise RequestError("Empty", "`query` and `texts` cannot be empty")
        self.check_count(texts)
        truncated = self.limits.auto_truncate if truncate is None else truncate
        prepare = partial(self._encoder.prepare_pairs, query, truncate=truncated, direction=direction)
        scores, tokens = await self.computed(texts, prepare, beside=len(query))
        return scores[:, 0], tokens
