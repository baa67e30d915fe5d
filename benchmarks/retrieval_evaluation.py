"""Score ready embeddings at several dimensions: embedrun against sentence-transformers' evaluator.

    python benchmarks/retrieval_evaluation.py
    python benchmarks/retrieval_evaluation.py --documents 20000 --queries 200 --rounds 1

Both get the same embeddings and judgements, in processes of their own, in turn; the best round counts. Memory is the
process's peak beyond what it held once the embeddings and texts were there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedrun import Document, Query
from embedrun_plugins.services.machine import peak_memory
from embedrun_plugins.stages.evaluators import retrieval_task
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval

if TYPE_CHECKING:
    from torch import Tensor

DIMENSIONS = (64, 128, 256, 512, 768)


class ReadyModel:
    """Stands in for a model whose embeddings are ready: gives them by the number that each text is."""

    similarity_fn_name = "cosine"
    device = torch.device("cpu")

    def __init__(self, queries: Tensor, documents: Tensor) -> None:
        self.queries, self.documents = queries, documents

    def encode_query(self, texts: Sequence[str], **_: Any) -> Any:
        return self.queries[_first(texts) : _first(texts) + len(texts)].numpy()

    def encode_document(self, texts: Sequence[str], **_: Any) -> Any:
        return self.documents[_first(texts) : _first(texts) + len(texts)].numpy()


def _first(texts: Sequence[str]) -> int:
    return int(texts[0])


def made(arguments: argparse.Namespace) -> tuple[Tensor, Tensor, dict[int, list[int]]]:
    """Return normalised query and document vectors in 200 clusters, and three relevant documents for each query."""
    source = torch.Generator().manual_seed(0)
    width = DIMENSIONS[-1]
    centres = torch.randn(200, width, generator=source)
    documents = torch.randn(arguments.documents, width, generator=source)
    documents += centres[torch.randint(200, (arguments.documents,), generator=source)]
    documents = torch.nn.functional.normalize(documents)
    relevant = torch.randint(arguments.documents, (arguments.queries, 3), generator=source)
    queries = documents[relevant].mean(dim=1) + 0.05 * torch.randn(arguments.queries, width, generator=source)
    return torch.nn.functional.normalize(queries), documents, dict(enumerate(relevant.tolist()))


def ours(queries: Tensor, documents: Tensor, relevant: dict[int, list[int]]) -> Callable[[], dict[str, float]]:
    stage = InformationRetrieval(dimensions=DIMENSIONS[:-1])
    # Numbers of equal width, so that sorting by length or id leaves the order of the embeddings.
    task = retrieval_task.Task(
        queries=[Query(f"{number:09}", f"{number:09}") for number in range(len(queries))],
        documents=[Document(f"{number:09}", f"{number:09}") for number in range(len(documents))],
        relevant=[dict.fromkeys((f"{number:09}" for number in found), 1.0) for found in relevant.values()],
        excluded=np.full(len(queries), -1),
        warnings=(),
    )
    model: Any = ReadyModel(queries, documents)

    def scored() -> dict[str, float]:
        found = stage.retrieved(model, task, 1, lambda *_: None)
        return {name: float(values.mean()) for name, values in stage.measured(task, found).items()}

    return scored


def theirs(queries: Tensor, documents: Tensor, relevant: dict[int, list[int]]) -> Callable[[], dict[str, float]]:
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import cos_sim

    judge = InformationRetrievalEvaluator(
        queries={f"{number:09}": f"{number:09}" for number in range(len(queries))},
        corpus={f"{number:09}": f"{number:09}" for number in range(len(documents))},
        relevant_docs={f"{number:09}": {f"{place:09}" for place in found} for number, found in relevant.items()},
        score_functions={"cosine": cos_sim},
    )

    class Cut(ReadyModel):
        def encode_query(self, texts: Sequence[str], **_: Any) -> Any:  # noqa: ARG002
            return self.queries[:, : self.size]

        size = DIMENSIONS[-1]

    def scored() -> dict[str, float]:
        found: dict[str, float] = {}
        for dimension in reversed(DIMENSIONS):
            model: Any = Cut(queries, documents)
            model.size = dimension
            scores: Any = judge.compute_all_metrics(model, corpus_embeddings=documents[:, :dimension])
            prefix = "" if dimension == DIMENSIONS[-1] else f"dim_{dimension}_"
            found |= {
                prefix + name.replace("@k", f"@{k}"): float(v)
                for name, at in scores["cosine"].items()
                for k, v in at.items()
            }
        return found

    return scored


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time one side once warm, and watch its memory."""
    make = {"ours": ours, "theirs": theirs}[arguments.side]
    score = make(*made(arguments))
    make(*made(argparse.Namespace(documents=2000, queries=20)))()
    with peak_memory() as peak:
        before = peak() or 0
        started = time.perf_counter()
        metrics = score()
        seconds = time.perf_counter() - started
        grown = ((peak() or 0) - before) / 2**20
    return {"seconds": seconds, "mebibytes": grown, "metrics": metrics}


def matmul_gigaflops() -> float:
    """Measure what the machine's float32 matrix multiplication reaches now, best of ten."""
    a = torch.randn(2048, 2048)
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 2 * 2048**3 / best / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.side:
        print(json.dumps(measured(arguments)))
        return
    rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    for _ in range(arguments.rounds):
        for side, results in rounds.items():
            command = [sys.executable, str(Path(__file__)), *sys.argv[1:], "--side", side]
            shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results.append(json.loads(shown.splitlines()[-1]))
    report(arguments, rounds)


def report(arguments: argparse.Namespace, rounds: dict[str, list[dict[str, Any]]]) -> None:
    metrics = {side: results[0]["metrics"] for side, results in rounds.items()}
    apart = max(abs(metrics["ours"][name] - value) for name, value in metrics["theirs"].items())
    print(f"{arguments.documents} documents, {arguments.queries} queries, dimensions {', '.join(map(str, DIMENSIONS))}")
    print(f"{platform.platform()}, {arguments.threads} threads, torch {torch.__version__}")
    print(f"float32 matrix multiplication {matmul_gigaflops():.0f} GFLOP/s\n")
    print("| | seconds, best (all) | MiB beyond the embeddings |\n|---|---|---|")
    for side, name in (("theirs", "sentence-transformers"), ("ours", "embedrun")):
        times = [result["seconds"] for result in rounds[side]]
        every = ", ".join(f"{seconds:.1f}" for seconds in times)
        most = max(result["mebibytes"] for result in rounds[side])
        print(f"| {name} | {min(times):.2f} ({every}) | {most:.0f} |")
    fastest = {side: min(result["seconds"] for result in results) for side, results in rounds.items()}
    print(f"\n{fastest['theirs'] / fastest['ours']:.1f} times as fast; metrics differ by at most {apart:.1g}")


if __name__ == "__main__":
    main()
