"""One model and the many requests that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Any, ParamSpec, TypeVar

import torch

from embedrun_plugins.models.cores import usable_cores
from embedrun_plugins.models.routes import length_of
from embedrun_plugins.models.serving.batching import Batcher
from embedrun_plugins.models.serving.encoders import BatchRunner, Prepared, TokenEncoder, Vectors
from embedrun_plugins.models.serving.errors import RequestError
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.metrics import Metrics

_P = ParamSpec("_P")
_T = TypeVar("_T")
PART_CHARACTERS = 50_000
"""Characters that are tokenized at once: requests take turns, and none waits for all of another's texts."""
CPU_TOKENS = 512  # a thread's throughput no longer grows from some 200 tokens on; smaller batches hold less padding


class RequestQueue:
    """Prepares requests in threads, a part at a time, and computes them in batches."""

    def __init__(self, loaded: Any, runner: BatchRunner, name: str, limits: ServerLimits, metrics: Metrics) -> None:
        """`loaded` is the model of sentence-transformers that `runner` runs."""
        self.name = name
        self.limits = limits
        self.max_length = length_of(loaded)
        self.dtype = str(loaded.dtype).removeprefix("torch.")
        on_cpu = loaded.device.type == "cpu"
        # Single-threaded workers never wait for each other's cores; other models may not be safe to run in two threads.
        several = on_cpu and isinstance(runner, TokenEncoder)
        workers = limits.workers or (min(usable_cores(), 4) if several else 1)
        threads = max(1, usable_cores() // workers)
        torch.set_num_threads(threads)
        self.max_batch_tokens = limits.max_batch_tokens or (CPU_TOKENS * threads if on_cpu else 16384)
        self._batcher = Batcher(runner, max_tokens=self.max_batch_tokens, workers=workers, on_batch=metrics.batch)
        self._preparing = ThreadPoolExecutor(max_workers=max(2, workers), thread_name_prefix="prepare")
        self._in_hand = 0

    @property
    def waiting(self) -> int:
        return len(self._batcher)

    def described(self) -> dict[str, Any]:
        """Return what `/info` tells of any model."""
        return {
            "model_id": self.name,
            "model_dtype": self.dtype,
            "max_input_length": self.max_length,
            "max_batch_tokens": self.max_batch_tokens,
            "max_concurrent_requests": self.limits.max_concurrent_requests,
            "max_client_batch_size": self.limits.max_client_batch_size,
            "auto_truncate": self.limits.auto_truncate,
            "version": version("embedrun"),
        }

    async def computed(
        self, texts: Sequence[str], prepare: Callable[[Sequence[str]], list[Prepared]], beside: int = 0
    ) -> tuple[Vectors, int]:
        """Return what the model makes of texts, a row each, and the number of tokens.

        `beside` is how many characters are read with each text. Raises RequestError where too many requests wait.
        """
        if self._in_hand >= self.limits.max_concurrent_requests:
            raise RequestError("Overloaded", "Model is overloaded")
        self._in_hand += 1
        try:
            prepared = [text for part in _parts(texts, beside) for text in await self.in_thread(prepare, part)]
            return await asyncio.wrap_future(self._batcher.submit(prepared)), sum(text.size for text in prepared)
        finally:
            self._in_hand -= 1

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

    def close(self) -> None:
        """Answer what waits, then end."""
        self._preparing.shutdown()
        self._batcher.close()


def _parts(texts: Sequence[str], beside: int) -> Iterator[list[str]]:
    """Yield the texts in parts of few characters, `beside` more for each text."""
    part: list[str] = []
    room = PART_CHARACTERS
    for text in texts:
        if part and len(text) + beside > room:
            yield part
            part, room = [], PART_CHARACTERS
        part.append(text)
        room -= len(text) + beside + 1
    yield part
