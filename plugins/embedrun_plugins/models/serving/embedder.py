"""A model behind a queue: what each route asks for vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import torch

from embedrun.artifacts import Model
from embedrun_plugins.models.cores import usable_cores
from embedrun_plugins.models.routes import length_of, routes_of
from embedrun_plugins.models.serving.batching import Batcher
from embedrun_plugins.models.serving.encoders import TokenEncoder, Vectors, encoder_for, without_normalisation
from embedrun_plugins.models.serving.errors import RequestError
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.requests import TextOptions

_P = ParamSpec("_P")
_T = TypeVar("_T")
PART_CHARACTERS = 50_000
"""Characters that are tokenized at once: requests take turns, and none waits for all of another's texts."""
CPU_TOKENS = 512  # a thread's throughput no longer grows from some 200 tokens on; smaller batches hold less padding


class RequestEmbedder:
    """Embeds texts for many requests at once."""

    def __init__(
        self, model: Model, limits: ServerLimits, metrics: Metrics, device: str | None = None, name: str | None = None
    ) -> None:
        loaded = model.load(device)
        self.name = name or Path(model.path).name
        self.limits = limits
        self.dimensions = loaded.get_embedding_dimension()
        self.prompts = {name: prompt or "" for name, prompt in loaded.prompts.items()}
        self.default_prompt = self.prompts.get(loaded.default_prompt_name or "", "")
        self.max_length = length_of(loaded)
        self.dtype = str(loaded.dtype).removeprefix("torch.")
        self.pooling = next((str(m.pooling_mode) for m in loaded if hasattr(m, "pooling_mode")), None)
        self._routes = routes_of(loaded)
        loaded.truncate_dim = None
        without_normalisation(loaded)
        self._normalize = model.settings.normalize is not False
        self.encoder = encoder_for(loaded)
        workers, threads = self._share_cores(loaded.device.type, limits.workers)
        torch.set_num_threads(threads)
        self.max_batch_tokens = limits.max_batch_tokens or (
            CPU_TOKENS * threads if loaded.device.type == "cpu" else 16384
        )
        self._batcher = Batcher(self.encoder, max_tokens=self.max_batch_tokens, workers=workers, on_batch=metrics.batch)
        self._preparing = ThreadPoolExecutor(max_workers=max(2, workers), thread_name_prefix="prepare")
        self._in_hand = 0

    def _share_cores(self, device: str, wished: int | None) -> tuple[int, int]:
        """Return workers and the threads of each: single-threaded workers never wait for each other's cores."""
        cores = usable_cores()
        tokens_only = isinstance(self.encoder, TokenEncoder)  # other models may not be safe to run in two threads
        workers = wished or (min(cores, 4) if device == "cpu" and tokens_only else 1)
        return workers, max(1, cores // workers)

    @property
    def waiting(self) -> int:
        return len(self._batcher)

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
        if self._in_hand >= self.limits.max_concurrent_requests:
            raise RequestError("Overloaded", "Model is overloaded")
        self._in_hand += 1
        try:
            raw, tokens = await self._encode(texts, options)
        finally:
            self._in_hand -= 1
        cut = raw[:, : dimensions or self.dimensions]
        return (_unit(cut) if (self._normalize if normalize is None else normalize) else cut), tokens

    async def _encode(self, texts: Sequence[str], options: TextOptions) -> tuple[Vectors, int]:
        prepare = partial(
            self.encoder.prepare,
            prompt=self._prompt(options.prompt_name),
            route=self._routes.get(options.prompt_name or ""),
            truncate=self.limits.auto_truncate if options.truncate is None else options.truncate,
            direction=options.truncation_direction,
        )
        prepared = [text for part in _parts(texts) for text in await self.in_thread(prepare, part)]
        vectors = await asyncio.wrap_future(self._batcher.submit(prepared))
        return vectors, sum(text.size for text in prepared)

    async def in_thread(self, function: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
        """Run what takes long beside the event loop, so that other requests are answered meanwhile."""
        call = partial(function, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._preparing, call)

    def check_count(self, texts: Sequence[str]) -> None:
        """Raise RequestError where a request holds more texts than it may."""
        most = self.limits.max_client_batch_size
        if len(texts) > most:
            hint = "`embedrun serve --client-batch-size`, or client_batch_size of deployer local, raises it"
            raise RequestError("Validation", f"batch size {len(texts)} > maximum allowed batch size {most}; {hint}")

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

    def close(self) -> None:
        """Answer what waits, then end."""
        self._preparing.shutdown()
        self._batcher.close()


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in parts of few characters."""
    part: list[str] = []
    room = PART_CHARACTERS
    for text in texts:
        if part and len(text) > room:
            yield part
            part, room = [], PART_CHARACTERS
        part.append(text)
        room -= len(text) + 1
    yield part


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)
