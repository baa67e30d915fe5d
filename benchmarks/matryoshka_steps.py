"""Training steps of the Matryoshka example alone: `python benchmarks/matryoshka.py --steps-only`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

from embedrun import RetrievalSet
from embedrun_plugins.models.padding_free import allocation
from embedrun_plugins.models.padding_free.forward import EMBEDDED, padding_free_training
from embedrun_plugins.stages.trainers.padding_free_step import choose

DIMENSIONS = (384, 256, 128, 64, 32)


def time_steps(arguments: argparse.Namespace, data: RetrievalSet) -> None:
    """Time forward, backward and optimizer step of ready batches, plain and embedrun's in turn."""
    rows = [(data.queries[j.query_id].text, data.documents[j.document_id].full_text) for j in data.qrels("train")]
    print(f"{'batch':>5}{'tokens':>8}{'padded':>8}{'plain s':>10}{'embedrun s':>11}{'ratio':>7}{'share of peak':>19}")
    for size in arguments.batch_sizes:
        sides = {name: _Step(arguments, fast=name == "embedrun") for name in ("plain", "embedrun")}
        batches = [rows[start : start + size] for start in range(0, arguments.batches * size, size)]
        best = dict.fromkeys(sides, [float("inf")] * len(batches))
        peak = 0.0
        for _ in range(arguments.repeat + 1):
            peak = max(peak, matmul_flops(arguments.device))
            for name, step in sides.items():
                with step.ready(batches[0]):
                    best[name] = [min(before, step(batch)) for before, batch in zip(best[name], batches, strict=True)]
        work = [sides["plain"].work(batch) for batch in batches]
        tokens, padded, flops = (sum(found) / len(batches) for found in zip(*work, strict=True))
        seconds = {name: sum(found) / len(batches) for name, found in best.items()}
        shares = " and ".join(f"{flops / seconds[name] / peak:.0%}" for name in sides)
        print(
            f"{size:>5}{tokens:>8.0f}{padded:>8.0f}{seconds['plain']:>10.3f}{seconds['embedrun']:>11.3f}"
            f"{seconds['plain'] / seconds['embedrun']:>7.2f}"
            f"{shares:>14} of {peak / 1e9:.0f} GFLOP/s",
            flush=True,
        )


class _Step:
    """One side's training step."""

    def __init__(self, arguments: argparse.Namespace, *, fast: bool) -> None:
        self.model = SentenceTransformer(str(arguments.model), device=arguments.device).train()
        self.loss: Any = MatryoshkaLoss(
            self.model, MultipleNegativesRankingLoss(self.model), matryoshka_dims=list(DIMENSIONS)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-5, fused=True)
        chosen = choose(self.model, self.loss, compiled=False)
        self.fast = chosen if fast and not isinstance(chosen, str) else None
        self.autocast = arguments.device.startswith("cuda")

    @contextmanager
    def ready(self, batch: list[tuple[str, str]]) -> Iterator[None]:
        """Be warm, and with embedrun's setting of memory on a CPU, where this is embedrun's side."""
        with allocation.keep_freed_memory() if self.fast and not self.autocast else nullcontext():
            self(batch)
            yield

    def columns(self, batch: list[tuple[str, str]]) -> list[dict[str, Any]]:
        made = [self.model.preprocess([row[place] for row in batch]) for place in (0, 1)]
        device = self.model.device
        return [{k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in m.items()} for m in made]

    def __call__(self, batch: list[tuple[str, str]]) -> float:
        given = self.columns(batch)
        with padding_free_training(self.model, self.fast.way) if self.fast else nullcontext():
            started = time.perf_counter()
            with torch.autocast("cuda", torch.bfloat16, enabled=self.autocast):
                if self.fast:
                    vectors = self.fast.embed(self.model, {str(place): column for place, column in enumerate(given)})
                    given = [
                        {**column, EMBEDDED: vector} for column, vector in zip(given, vectors.values(), strict=True)
                    ]
                loss = self.loss(given, None)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            float(loss.detach())
            return time.perf_counter() - started

    def work(self, batch: list[tuple[str, str]]) -> tuple[int, int, int]:
        """Return a batch's tokens, the same with padding, and the useful operations of its forward and backward."""
        given = self.columns(batch)
        config: Any = self.model.transformers_model and self.model.transformers_model.config
        width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
        lengths = [int(count) for column in given for count in column["attention_mask"].sum(1)]
        linear = sum(lengths) * 2 * (4 * width * width + 2 * width * inner)
        attention = sum(length * length for length in lengths) * 4 * width
        return sum(lengths), sum(c["input_ids"].numel() for c in given), 3 * layers * (linear + attention)


def matmul_flops(device: str) -> float:
    """Measure what this machine's matrix multiplication reaches now, in operations per second, best of five."""
    a = torch.randn(2048, 2048, device=device, dtype=torch.bfloat16 if device.startswith("cuda") else torch.float32)
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        float((a @ a)[0, 0])
        best = min(best, time.perf_counter() - started)
    return float(2 * 2048**3 / best)
