"""A model behind a queue: what each route asks for vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from embedrun.artifacts import Model
from embedrun_plugins.models.routes import routes_of
from embedrun_plugins.models.serving.encoders import Vectors, encoder_for, without_normalisation
from embedrun_plugins.models.serving.errors import RequestError
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.request_queue import RequestQueue
from embedrun_plugins.models.serving.requests import TextOptions


class RequestEmbedder(RequestQueue):
    """Embeds texts for many requests at once."""

    def __init__(
        self, model: Model, limits: ServerLimits, metrics: Metrics, device: str | None = None, name: str | None = None
    ) -> None:
        loaded = model.load(device)
        self.dimensions = loaded.get_embedding_dimension()
        self.prompts = {name: prompt or "" for name, prompt in loaded.prompts.items()}
        self.default_prompt = self.prompts.get(loaded.default_prompt_name or "", "")
        self.pooling = next((str(m.pooling_mode) for m in loaded if hasattr(m, "pooling_mode")), None)
        self._routes = routes_of(loaded)
        loaded.truncate_dim = None
        without_normalisation(loaded)
        self._normalize = model.settings.normalize is not False
        self.encoder = encoder_for(loaded)
        super().__init__(loaded, self.encoder, name or Path(model.path).name, limits, metrics)

    async def embed(
        self,
        texts: Sequence[str],
        options: TextOptions,
        *,
        normalize: bool | None = None,
        dimensions: int | None = None,
    ) -> tuple[Vectors, int]:
        """Return (texts, dimensions) and the number of tokens; raises RequestError."""
        self._check(texts, dimensions)
        prepare = partial(
            self.encoder.prepare,
            prompt=self._prompt(options.prompt_name),
            route=self._routes.get(options.prompt_name or ""),
            truncate=self.limits.auto_truncate if options.truncate is None else options.truncate,
            direction=options.truncation_direction,
        )
        raw, tokens = await self.computed(texts, prepare)
        cut = raw[:, : dimensions or self.dimensions]
        return (_unit(cut) if (self._normalize if normalize is None else normalize) else cut), tokens

    def _check(self, texts: Sequence[str], dimensions: int | None) -> None:
        if not texts or not all(texts):
            raise RequestError("Empty", "`inputs` cannot be empty")
        self.check_count(texts)
        if dimensions and self.dimensions and dimensions > self.dimensions:
            raise RequestError("Validation", f"`dimensions` must be at most {self.dimensions}. Given: {dimensions}")

    def _prompt(self, name: str | None) -> str:
        if name is None:
            return self.default_prompt
        if name not in self.prompts:
            names = ", ".join(sorted(self.prompts))
            raise RequestError("Validation", f"`prompt_name` {name!r} is not one of this model's: {names}")
        return self.prompts[name]


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)
