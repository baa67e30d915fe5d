"""A closed loop: so many clients send one request after the other, and every answer is timed or counted as an error."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from embedrun_plugins.services.endpoints.client import RequestParameters
from embedrun_plugins.services.endpoints.load_test.texts import Load
from embedrun_plugins.services.endpoints.transports import Transport, TransportError, Unanswered

_PAUSE = 0.05
"""Seconds that a client waits after an error: one that is refused at once would do nothing but be refused."""
_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Level:
    """What came back at one number of clients; latencies are in milliseconds, of the requests that succeeded."""

    concurrency: int
    seconds: float
    requests: int
    texts: int
    tokens: int | None
    latencies: tuple[float, ...] = field(repr=False)
    errors: dict[str, int] = field(default_factory=dict)
    """Requests that failed, by kind: a status such as "429", "time-out", "no connection" …"""
    said: str | None = None
    """The first error in words."""

    def described(self) -> dict[str, Any]:
        """Return the figures as JSON; rates are those of what succeeded."""
        ranked = np.percentile(self.latencies, _PERCENTILES) if self.latencies else [None] * len(_PERCENTILES)
        return {
            "concurrency": self.concurrency,
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            **{f"p{n}_ms": _rounded(value) for n, value in zip(_PERCENTILES, ranked, strict=True)},
            "requests_per_second": _rounded(self.requests / self.seconds),
            "texts_per_second": _rounded(self.texts / self.seconds),
            "tokens_per_second": None if self.tokens is None else _rounded(self.tokens / self.seconds),
            "errors": self.errors,
            "said": self.said,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


@dataclass
class _Tally:
    """What the clients of one level report."""

    started: float = 0.0
    ended: float = 0.0
    latencies: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    said: str | None = None
    fault: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Bench:
    """An endpoint and what is sent to it."""

    transport: Transport
    bodies: Sequence[bytes]
    texts: int
    """Texts in each request."""
    tokens: Sequence[int] | None
    """Tokens in each request."""

    @classmethod
    def of(cls, transport: Transport, reading: RequestParameters, load: Load, batch: int = 1) -> Bench:
        """Prepare requests of so many texts each."""
        parts = [[(first + n) % len(load.texts) for n in range(batch)] for first in range(0, len(load.texts), batch)]
        bodies = [reading.body([load.texts[index] for index in some], load.role) for some in parts]
        tokens = None if load.tokens is None else [sum(load.tokens[index] for index in some) for some in parts]
        return cls(transport, bodies, batch, tokens)

    def level(
        self,
        concurrency: int,
        seconds: float,
        warm_up: float,
        on_progress: Callable[[float, float], None] = lambda *_: None,
    ) -> Level:
        """Measure for so many seconds, after those that warm up; requests under way at the end still count."""
        tally, order = _Tally(), count()
        begin = time.perf_counter() + warm_up
        end = begin + seconds
        threads = [
            threading.Thread(target=self._client, args=(tally, order, begin, end), daemon=True)
            for _ in range(concurrency)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                on_progress(min(max(time.perf_counter() - begin, 0.0), seconds), seconds)
                thread.join(0.2)
        if tally.fault:
            raise tally.fault
        return self._level(concurrency, tally, begin, end)

    def _level(self, concurrency: int, tally: _Tally, begin: float, end: float) -> Level:
        requests = len(tally.latencies)
        return Level(
            concurrency,
            max(tally.ended, end) - begin,
            requests,
            requests * self.texts,
            None if self.tokens is None else sum(self.tokens[index] for index in tally.places),
            tuple(1000 * latency for latency in tally.latencies),
            dict(sorted(tally.errors.items())),
            tally.said,
        )

    def _client(self, tally: _Tally, order: count[int], begin: float, end: float) -> None:
        while (started := time.perf_counter()) < end and tally.fault is None:
            index = next(order) % len(self.bodies)
            problem: TransportError | None = None
            try:
                answer = self.transport.send(self.bodies[index])
                problem = None if answer.startswith(b"[") else Unanswered("no list of vectors", kind="no vectors")
            except TransportError as caught:
                problem = caught
            except BaseException as fault:  # noqa: BLE001  # told by the thread that started this one
                tally.fault = fault
                return
            ended = time.perf_counter()
            if started >= begin:
                self._note(tally, index, started, ended, problem)
            if problem:
                time.sleep(_PAUSE)

    def _note(self, tally: _Tally, index: int, started: float, ended: float, problem: TransportError | None) -> None:
        with tally.lock:
            tally.ended = max(tally.ended, ended)
            if problem is None:
                tally.latencies.append(ended - started)
                tally.places.append(index)
                return
            tally.errors[problem.kind] += 1
            tally.said = tally.said or str(problem)
