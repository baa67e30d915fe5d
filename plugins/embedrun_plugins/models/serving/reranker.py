"""A reranker behind a queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch

from embedrun.artifacts import Model
from embedrun_plugins.models import cross_encoders
from embedrun_plugins.models.cores import usable_cores
from embedrun_plugins.models.routes import length_of
from embedrun_plugins.models.serving.batching import Batcher
from embedrun_plugins.models.serving.embedder import CPU_TOKENS
from embedrun_plugins.models.serving.encoders import Direction, TokenEncoder, Vectors
from embedrun_plugins.models.serving.errors import RequestError
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.pairs import pair_encoder_for

_P = ParamSpec("_P")
_T = TypeVar("_T")


class RequestReranker:
    """Scores pairs for many requests at once."""

    def __init__(
        self, model: Model, limits: ServerLimits, metrics: Metrics, device: str | None = None, name: str | None = None
    ) -> None:
        loaded: Any = cross_encoders.load(model, device)
        self.name = name or Path(model.path).name
        self.limits = limits
        self.max_length = length_of(loaded)
        self.dtype = str(loaded.dtype).removeprefix("torch.")
        self._encoder = pair_encoder_for(loaded)
        on_cpu = loaded.device.type == "cpu"
        several = on_cpu and isinstance(self._encoder, TokenEncoder)
        workers = limits.workers or (min(usable_cores(), 4) if several else 1)
        threads = max(1, usable_cores() // workers)
        torch.set_num_threads(threads)
        self.max_batch_tokens = limits.max_batch_tokens or (CPU_TOKENS * threads if on_cpu else 16384)
        encoder: Any = self._encoder
        self._batcher = Batcher(encoder, max_tokens=self.max_batch_tokens, workers=workers, on_batch=metrics.batch)
        self._preparing = ThreadPoolExecutor(max_workers=max(2, workers), thread_name_prefix="prepare")
        self._in_hand = 0

    @property
    def waiting(self) -> int:
        return len(self._batcher)

    async def score(
        self, query: str, texts: Sequence[str], *, truncate: bool | None, direction: Direction
    ) -> tuple[Vectors, int]:
        """Return (texts,) scores before any sigmoid, and the number of tokens; raises RequestError."""
        if not query or not texts or not all(texts):
            raise RequestError("Empty", "`query` and `texts` cannot be empty")
        most = self.limits.max_client_batch_size
        if len(texts) > most:
            raise RequestError("Validation", f"batch size {len(texts)} > maximum allowed batch size {most}")
        if self._in_hand >= self.limits.max_concurrent_requests:
            raise RequestError("Overloaded", "Model is overloaded")
        self._in_hand += 1
        try:
            truncated = self.limits.auto_truncate if truncate is None else truncate
            prepare = partial(self._encoder.prepare_pairs, truncate=truncated, direction=direction)
            prepared = await self.in_thread(prepare, query, texts)
            scores = await asyncio.wrap_future(self._batcher.submit(prepared))
        finally:
            self._in_hand -= 1
        return scores[:, 0], sum(pair.size for pair in prepared)

    async def in_thread(self, function: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
        """Run what takes long beside the event loop, so that other requests are answered meanwhile."""
        call = partial(function, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._preparing, call)

    def close(self) -> None:
        """Answer what waits, then end."""
        self._preparing.shutdown()
        self._batcher.close()
