"""Mine negatives from ready embeddings: embedrun's `dense` against FAISS's IndexFlatIP as FlagEmbedding has it.

    python benchmarks/mining.py
    python benchmarks/mining.py --passages 20000 --queries 500 --rounds 1

Both get the same vectors, in processes of their own, in turn; the best round counts. Memory is the process's peak
beyond what it held once vectors and texts were there. Both search to rank 200, pass over the first 3 passages and the
answer, and draw 5 of the others for each query; embedrun also compares texts, so that none nearly equals the answer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedrun import Document, Query
from embedrun_plugins.services.machine import peak_memory
from embedrun_plugins.stages.miners.candidate_pool import Pool
from embedrun_plugins.stages.miners.ranking import Exact, ranked
from embedrun_plugins.stages.miners.selection import Chooser
from embedrun_plugins.stages.texts.keys import near_key

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = 384
RANKS = (3, 200)
PER_QUERY = 5
WORDS = 60
"""Words of a passage."""


def vectors(arguments: argparse.Namespace) -> tuple[Tensor, Tensor, list[int]]:
    """Return normalised vectors of queries and of passages in 500 clusters, and the place of each query's answer."""
    source = torch.Generator().manual_seed(0)
    centres = torch.randn(500, WIDTH, generator=source)
    passages = torch.randn(arguments.passages, WIDTH, generator=source)
    for part in passages.split(8192):
        part.add_(centres[torch.randint(500, (len(part),), generator=source)])
        part.div_(part.norm(dim=1, keepdim=True))
    answers = torch.randint(arguments.passages, (arguments.queries,), generator=source)
    queries = passages[answers] + 0.05 * torch.randn(arguments.queries, WIDTH, generator=source)
    return torch.nn.functional.normalize(queries), passages, answers.tolist()


def pool(passages: int, answers: list[int]) -> Pool:
    """Return passages of random words; the texts have nothing to do with the vectors, which changes no cost."""
    chance = random.Random(0)
    vocabulary = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(20_000)]
    documents = [Document(str(number), " ".join(chance.choices(vocabulary, k=WORDS))) for number in range(passages)]
    keys = np.fromiter((near_key(document.text) for document in documents), np.uint64, passages)
    return Pool(
        queries=[Query(f"q{number}", f"question {number}") for number in range(len(answers))],
        answers=[(documents[place],) for place in answers],
        answers_anywhere=[(documents[place],) for place in answers],
        excluded=[frozenset({int(keys[place])}) for place in answers],
        documents=documents,
        keys=keys,
        bare_keys=keys,
        held_out=0,
    )


def ours(queries: Tensor, passages: Tensor, answers: list[int], texts: Pool) -> list[list[int]]:
    del answers
    chooser = Chooser(texts, per_query=PER_QUERY, shuffled=True, seed=42, near_equal=0.9, guard=None)
    search = Exact(passages, "cosine")
    chosen = [found for block in ranked(search, queries, RANKS) for found in chooser.choose(block)]
    return [sorted(int(judgement.document_id) for judgement in found) for found in chosen]


def theirs(queries: Tensor, passages: Tensor, answers: list[int], texts: Pool) -> list[list[int]]:
    """Search in batches of 64, as hn_mine.py does, and keep its lists of all ranks until the end."""
    import faiss

    del texts
    index = faiss.IndexFlatIP(WIDTH)
    index.add(passages.numpy())
    places: list[list[int]] = []
    for start in range(0, len(queries), 64):
        places += index.search(queries[start : start + 64].numpy(), RANKS[1])[1].tolist()
    chance = random.Random(42)
    free = [[p for p in row[RANKS[0] :] if p != answer] for row, answer in zip(places, answers, strict=True)]
    return [sorted(chance.sample(row, min(PER_QUERY, len(row)))) for row in free]


def candidates(arguments: argparse.Namespace) -> float:
    """Return the share of queries whose candidates are the same set under both, of at most 500 queries."""
    import faiss

    queries, passages, _ = vectors(arguments)
    queries = queries[:500]
    index = faiss.IndexFlatIP(WIDTH)
    index.add(passages.numpy())
    wanted = index.search(queries.numpy(), RANKS[1])[1][:, RANKS[0] :]
    found = np.concatenate([block.positions for block in ranked(Exact(passages, "cosine"), queries, RANKS)])
    return float(np.mean([set(one) == set(other) for one, other in zip(wanted, found, strict=True)]))


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time one side once warm, and watch its memory."""
    mine = {"ours": ours, "theirs": theirs}[arguments.side]
    small = argparse.Namespace(passages=2000, queries=20)
    for size in (small, arguments):
        queries, passages, answers = vectors(size)
        texts = pool(size.passages, answers)
        if size is small:
            mine(queries, passages, answers, texts)
    with peak_memory() as peak:
        before = peak() or 0
        started = time.perf_counter()
        found = mine(queries, passages, answers, texts)
        seconds = time.perf_counter() - started
        grown = ((peak() or 0) - before) / 2**20
    return {"seconds": seconds, "mebibytes": grown, "negatives": sum(map(len, found))}


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
    parser.add_argument("--passages", type=int, default=300_000)
    parser.add_argument("--queries", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--side", choices=("ours", "theirs", "candidates"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # Both torch and FAISS read it when they start.
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    if arguments.side == "candidates":
        print(json.dumps(candidates(arguments)))
    elif arguments.side:
        print(json.dumps(measured(arguments)))
    else:
        report(arguments)


def report(arguments: argparse.Namespace) -> None:
    rounds: dict[str, list[dict[str, Any]]] = {"theirs": [], "ours": []}
    for _ in range(arguments.rounds):
        for side, results in rounds.items():
            results.append(run(side))
    print(f"{arguments.passages} passages, {arguments.queries} queries, {WIDTH} dimensions, ranks {RANKS}")
    print(f"{platform.platform()}, {arguments.threads} threads, torch {torch.__version__}")
    print(f"float32 matrix multiplication {matmul_gigaflops():.0f} GFLOP/s\n")
    print("| | seconds, best (all) | MiB beyond the embeddings | negatives |\n|---|---|---|---|")
    for side, name in (("theirs", "FAISS IndexFlatIP"), ("ours", "embedrun")):
        times = [result["seconds"] for result in rounds[side]]
        every = ", ".join(f"{seconds:.1f}" for seconds in times)
        most = max(result["mebibytes"] for result in rounds[side])
        print(f"| {name} | {min(times):.2f} ({every}) | {most:.0f} | {rounds[side][0]['negatives']} |")
    print(f"\nthe same candidates for {run('candidates'):.1%} of 500 queries")


def run(side: str) -> Any:
    """Run one side in a process of its own, whose threads are set before it starts."""
    command = [sys.executable, str(Path(__file__)), *sys.argv[1:], "--side", side]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(shown.splitlines()[-1])


if __name__ == "__main__":
    main()
