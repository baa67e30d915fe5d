"""Requests that wait at the same time share batches, each as full and as little padded as what waits allows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from embedrun_plugins.models.serving.encoders import BatchEncoder, Prepared, Vectors
from embedrun_plugins.models.serving.errors import RequestError

log = logging.getLogger(__name__)
LOOKAHEAD = 2048


@dataclass(eq=False)
class _QueuedRequest:
    """One request's texts and what has been found for them so far."""

    missing: int
    rows: list[Vectors | None]
    answer: Future[Vectors] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, eq=False, slots=True)
class _Item:
    job: _QueuedRequest
    position: int
    text: Prepared


class Batcher:
    """A queue of texts and the threads that encode it.

    Every batch holds the text that has waited longest and those nearest to it in length, up to `max_tokens` padded
    tokens. So nothing starves, and a batch holds little padding whatever the requests' mix of lengths.
    """

    def __init__(
        self,
        encoder: BatchEncoder,
        *,
        max_tokens: int,
        workers: int = 1,
        on_batch: Callable[[int, int, float, float], None] = lambda *_: None,
    ) -> None:
        """`on_batch` is told each batch's texts and tokens, its longest wait and its time in the model, in seconds."""
        self._encoder = encoder
        self._max_tokens = max_tokens
        self._on_batch = on_batch
        self._waiting: dict[_Item, None] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"encode-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, texts: Sequence[Prepared]) -> Future[Vectors]:
        """Queue a request; its vectors come in the order of its texts."""
        job = _QueuedRequest(len(texts), [None] * len(texts))
        job.answer.set_running_or_notify_cancel()  # from here on nobody but a worker ends it
        with self._changed:
            if self._closed:
                raise RequestError("Backend", "the server is shutting down", 503)
            self._waiting.update(dict.fromkeys(_Item(job, position, text) for position, text in enumerate(texts)))
            self._changed.notify_all()
        return job.answer

    def close(self) -> None:
        """Finish what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            started = time.monotonic()
            wait = started - min(item.job.since for item in batch)
            try:
                vectors = self._encode([item.text for item in batch])
            except Exception as error:  # whatever a model may raise is that request's answer, and the next one's turn
                log.exception("a batch of %d texts failed", len(batch))
                self._fail(batch, error)
                continue
            tokens = sum(item.text.size for item in batch)
            self._on_batch(len(batch), tokens, wait, time.monotonic() - started)
            self._finish(batch, vectors)

    def _encode(self, texts: list[Prepared]) -> Vectors:
        vectors = self._encoder.encode(texts)
        if not np.isfinite(vectors).all():
            raise RequestError("Backend", "the model gave a vector that holds NaN or infinity")
        return vectors

    def _next_batch(self) -> list[_Item]:
        """Wait for texts and take a batch off the queue; empty when closed and all is done."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            batch = nearest(list(islice(self._waiting, LOOKAHEAD)), self._max_tokens)
            for item in batch:
                del self._waiting[item]
            return batch

    def _fail(self, batch: list[_Item], error: Exception) -> None:
        answer = error if isinstance(error, RequestError) else RequestError("Backend", "inference failed; see the log")
        with self._changed:
            failed = {item.job for item in batch if not item.job.answer.done()}
            for item in [item for item in self._waiting if item.job in failed]:
                del self._waiting[item]
            for job in failed:
                job.answer.set_exception(answer)

    def _finish(self, batch: list[_Item], vectors: Vectors) -> None:
        done = []
        with self._changed:
            for item, vector in zip(batch, vectors, strict=True):
                item.job.rows[item.position] = vector
                item.job.missing -= 1
                if not item.job.missing and not item.job.answer.done():
                    done.append(item.job)
        for job in done:
            job.answer.set_result(np.stack([row for row in job.rows if row is not None]))


def nearest(waiting: list[_Item], max_tokens: int) -> list[_Item]:
    """Choose the first item and, nearest in length first, others of its group while they fit when padded."""
    if not waiting:
        return []
    oldest = waiting[0].text
    fitting = [item for item in waiting if item.text.group == oldest.group]
    fitting.sort(key=lambda item: abs(item.text.size - oldest.size))
    width = 0
    for count, item in enumerate(fitting):
        width = max(width, item.text.size)
        if count and (count + 1) * width > max_tokens:
            return fitting[:count]
    return fitting
