"""Counters and histograms in Prometheus' text format, under the names that TEI gives them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class Histogram:
    """Counts of values up to each bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        place = next((n for n, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[place] += 1
        self.sum += value

    def lines(self, name: str) -> list[str]:
        total = 0
        lines = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self.sum:.6f}", f"{name}_count {total}"]


class Metrics:
    """What the server counts; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, float] = dict.fromkeys(
            ("te_request_count", "te_request_success", "te_embed_count", "te_embed_tokens"), 0
        )
        self._failures: defaultdict[str, int] = defaultdict(int)
        self._histograms = {
            "te_request_duration": Histogram(SECONDS),
            "te_request_queue_duration": Histogram(SECONDS),
            "te_request_inference_duration": Histogram(SECONDS),
            "te_batch_next_size": Histogram(SIZES),
            "te_batch_next_tokens": Histogram(SIZES),
        }

    def request(self) -> None:
        with self._lock:
            self._counters["te_request_count"] += 1

    def succeeded(self, seconds: float) -> None:
        with self._lock:
            self._counters["te_request_success"] += 1
            self._histograms["te_request_duration"].add(seconds)

    def failed(self, kind: str) -> None:
        with self._lock:
            self._failures[kind.lower()] += 1

    def batch(self, texts: int, tokens: int, queued: float, seconds: float) -> None:
        with self._lock:
            self._counters["te_embed_count"] += texts
            self._counters["te_embed_tokens"] += tokens
            self._histograms["te_batch_next_size"].add(texts)
            self._histograms["te_batch_next_tokens"].add(tokens)
            self._histograms["te_request_queue_duration"].add(queued)
            self._histograms["te_request_inference_duration"].add(seconds)

    def render(self, gauges: Mapping[str, float]) -> str:
        """Write everything, and the gauges given, one sample a line."""
        with self._lock:
            lines = []
            for name, value in self._counters.items():
                lines += [f"# TYPE {name} counter", f"{name} {value:.15g}"]
            lines += ["# TYPE te_request_failure counter"]
            lines += [f'te_request_failure{{err="{kind}"}} {count}' for kind, count in sorted(self._failures.items())]
            for name, histogram in self._histograms.items():
                lines += [f"# TYPE {name} histogram", *histogram.lines(name)]
            for name, value in gauges.items():
                lines += [f"# TYPE {name} gauge", f"{name} {value:.15g}"]
            return "\n".join(lines) + "\n"
