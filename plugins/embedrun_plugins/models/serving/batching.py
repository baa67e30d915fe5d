"""Requests that wait at the same time share batches, each as full and as little padded as what waits allows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice

import numpy as np

from embedrun_plugins.models.serving.encoders import BatchRunner, Prepared, Vectors
from embedrun_plugins.models.serving.errors import RequestError

log = logging.getLogger(__name__)
LOOKAHEAD = 1024


@dataclass(eq=False)
class _QueuedRequest:
    """One request's texts and what has been found for them so far."""

    missing: int
    rows: list[Vectors | None]
    waiting: dict[_Item, None] = field(default_factory=dict)
    """What no batch holds yet, in the order of its turns."""
    answer: Future[Vectors] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, eq=False, slots=True)
class _Item:
    job: _QueuedRequest
    position: int
    text: Prepared
    turn: float = 0.0
    """Tokens that go before it when every request gets the same share: the lowest turn is next."""


class Batcher:
    """A queue of texts and the threads that encode it.

    Requests take turns by their tokens, so that a small one never waits for all of a large one. Every batch holds the
    text whose turn it is and those nearest to it in length, up to `max_tokens` padded tokens. So nothing starves, and a
    batch holds little padding whatever the requests' mix of lengths.
    """

    def __init__(
        self,
        encoder: BatchRunner,
        *,
        max_tokens: int,
        workers: int = 1,
        on_batch: Callable[[int, int, float, float], None] = lambda *_: None,
    ) -> None:
        """`on_batch` is told each batch's texts and tokens, its longest wait and its time in the model, in seconds."""
        self._encoder = encoder
        self._max_tokens = max_tokens
        self._on_batch = on_batch
        self._jobs: dict[_QueuedRequest, None] = {}
        self._turn = 0.0
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"encode-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        with self._changed:
            return sum(len(job.waiting) for job in self._jobs)

    def submit(self, texts: Sequence[Prepared]) -> Future[Vectors]:
        """Queue a request; its vectors come in the order of its texts. What is cancelled is no longer computed."""
        job = _QueuedRequest(len(texts), [None] * len(texts))
        with self._changed:
            if self._closed:
                raise RequestError("Backend", "the server is shutting down", 503)
            turn = self._turn
            for position, text in enumerate(texts):
                turn += text.size
                job.waiting[_Item(job, position, text, turn)] = None
            self._jobs[job] = None
            self._changed.notify_all()
        job.answer.add_done_callback(lambda _: self._forget(job))
        return job.answer

    def close(self) -> None:
        """Finish what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _forget(self, job: _QueuedRequest) -> None:
        with self._changed:
            self._jobs.pop(job, None)

    def _work(self) -> None:
        while batch := self._next_batch():
            self._encode(batch)

    def _encode(self, batch: list[_Item]) -> None:
        """Answer a batch; one that fails is halved until it holds one request, so that no other fails with it."""
        started = time.monotonic()
        wait = started - min(item.job.since for item in batch)
        try:
            vectors = self._encoder.encode([item.text for item in batch])
        except Exception:  # whatever a model may raise is that request's answer, and the next one's turn
            if len({item.job for item in batch}) > 1:
                self._encode(batch[: len(batch) // 2])
                self._encode(batch[len(batch) // 2 :])
                return
            log.exception("a request failed, with %d texts", len(batch))
            self._fail(batch, "inference failed; see the log")
            return
        tokens = sum(item.text.size for item in batch)
        self._on_batch(len(batch), tokens, wait, time.monotonic() - started)
        self._finish(batch, vectors)

    def _next_batch(self) -> list[_Item]:
        """Wait for texts and take a batch off the queue; empty when closed and all is done."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            waiting = merge(*(job.waiting for job in self._jobs), key=lambda item: item.turn)
            batch = nearest(list(islice(waiting, LOOKAHEAD)), self._max_tokens)
            for item in batch:
                del item.job.waiting[item]
                if not item.job.waiting:
                    del self._jobs[item.job]
            self._turn = max(self._turn, batch[0].turn) if batch else self._turn
            return batch

    def _fail(self, batch: list[_Item], message: str) -> None:
        with self._changed:  # two workers may hold texts of one request
            for job in {item.job for item in batch}:
                if _still_wanted(job):
                    job.answer.set_exception(RequestError("Backend", message))

    def _finish(self, batch: list[_Item], vectors: Vectors) -> None:
        strange = [item for item, vector in zip(batch, vectors, strict=True) if not np.isfinite(vector).all()]
        self._fail(strange, "the model gave a vector that holds NaN or infinity")
        done = []
        with self._changed:
            for item, vector in zip(batch, vectors, strict=True):
                item.job.rows[item.position] = vector
                item.job.missing -= 1
                if not item.job.missing:
                    done.append(item.job)
        for job in done:
            if _still_wanted(job):
                job.answer.set_result(np.stack([row for row in job.rows if row is not None]))


def _still_wanted(job: _QueuedRequest) -> bool:
    """Say whether a request has no answer yet and was not cancelled; from then on it cannot be."""
    return not job.answer.done() and job.answer.set_running_or_notify_cancel()


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
