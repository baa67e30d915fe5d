"""A model behind a queue: what each route asks for vectors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from embedrun.artifacts import Model
from embedrun_plugins.models.serving.batching import Batcher
from embedrun_plugins.models.serving.encoders import TokenEncoder, Vectors, encoder_for, without_normalisation
from embedrun_plugins.models.serving.errors import RequestError
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.requests import TextOptions

CPU_TOKENS = 512  # a thread's throughput no longer grows from some 200 tokens on; smaller batches hold less padding


class ServerLimits(BaseModel):
    """What the server takes on; the names are TEI's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_batch_tokens: int | None = Field(None, ge=1)
    """Tokens in a batch, padding included; by default 16384 on an accelerator and 512 for each thread on a CPU."""
    max_client_batch_size: int = Field(32, ge=1)
    """Texts in one request."""
    max_concurrent_requests: int = Field(512, ge=1)
    """Requests in hand at once; more are answered 429."""
    payload_limit: int = Field(2_000_000, ge=1)
    """Bytes in a request's body; SageMaker's `/invocations` takes 6,291,456 in any case, as SageMaker does."""
    auto_truncate: bool = True
    """Whether texts over the model's length are cut, where the request doesn't say."""
    workers: int | None = Field(None, ge=1)
    """Batches encoded at once; by default 1 on an accelerator and up to 4 on a CPU, which share its cores."""


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
        self.max_length = loaded.max_seq_length
        self.dtype = str(loaded.dtype).removeprefix("torch.")
        self.pooling = next((str(m.pooling_mode) for m in loaded if hasattr(m, "pooling_mode")), None)
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
            texts,
            self._prompt(options.prompt_name),
            truncate=self.limits.auto_truncate if options.truncate is None else options.truncate,
            direction=options.truncation_direction,
        )
        prepared = await asyncio.get_running_loop().run_in_executor(self._preparing, prepare)
        vectors = await asyncio.wrap_future(self._batcher.submit(prepared))
        return vectors, sum(text.size for text in prepared)

    def _check(self, texts: Sequence[str], dimensions: int | None) -> None:
        if not texts or not all(texts):
            raise RequestError("Empty", "`inputs` cannot be empty")
        if len(texts) > self.limits.max_client_batch_size:
            allowed = self.limits.max_client_batch_size
            raise RequestError("Validation", f"batch size {len(texts)} > maximum allowed batch size {allowed}")
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


def usable_cores() -> int:
    """Count the cores that this process may use, a container's CPU quota included."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        allowed, period = quota.read_text("utf-8").split()
        if allowed != "max":
            cores = min(cores, max(1, int(allowed) // int(period)))
    return cores


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)
