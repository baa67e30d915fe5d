"""Intervals by query and by independent unit, side by side, on real questions.

    python benchmarks/query_units.py [--data ../shared/data] [--runs DIR] [--write benchmarks/results/query_units.md]

Trains the quickstart, on Lyft's annual report (tested on Uber's), and on AWS's questions about Bedrock, and compares
the tuned model with the base, and the base with BM25: each query as a unit of its own, and in the units that the run
found. Also says how alike
the differences within a unit are. Reuses what the folder of runs holds already; from nothing it takes about 20 minutes
on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedrun import Scores, run
from embedrun.artifacts import RetrievalSet
from embedrun.execution import Settings
from embedrun.record import RunRecord
from embedrun_plugins.results.comparison import judged_set
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.stages.evaluators.paired_differences import Interval, paired, units_of
from embedrun_plugins.stages.evaluators.query_units import QueryUnits
from embedrun_plugins.stages.evaluators.retrieval_task import Retrieved, Task

ROOT = Path(__file__).parents[1]
HEADER = ["metric, models", "queries", "units", "correlation", "difference", "by query", "by unit", "width", "verdicts"]
TEN_K = """
name: ten_k
model: {id: sentence-transformers/all-MiniLM-L6-v2, max_length: 128}
source: {type: llama_index, path: llamaindex-10k}
loss: multiple_negatives_ranking
trainer: {type: sentence_transformers, epochs: 1, batch_size: 32, learning_rate: 5e-5}
evaluator: {type: information_retrieval, hit_rate_at_k: [1, 10]}
"""


def runs(data: Path, folder: Path) -> Iterator[tuple[str, RunRecord]]:
    """Yield each case's name and its run."""
    (folder / "ten_k.yaml").write_text(TEN_K)
    cases: list[tuple[str, Path, dict[str, Any]]] = [
        ("quickstart", ROOT / "recipes/quickstart.yaml", {}),
        ("Lyft's report, tested on Uber's", folder / "ten_k.yaml", {"source.path": str(data / "llamaindex-10k")}),
        ("questions about Bedrock, half held out", ROOT / "recipes/sagemaker_faq.yaml", _faq(data)),
    ]
    for name, recipe, settings in cases:
        yield name, run(recipe, settings, settings=Settings(runs=folder / "runs", store=folder / "store"))


def _faq(data: Path) -> dict[str, Any]:
    rows = str(next((data / "bedrock-faqs").glob("*.json")))
    judged = {"evaluator": {"type": "information_retrieval"}, "deployer": []}
    return {"source.path": rows, "source.holdout": 0.5, "trainer.epochs": 20, **judged}


def correlation(differences: Sequence[float], units: Sequence[int]) -> float | None:
    """Return the intra-class correlation by analysis of variance (Fisher); None where no unit has two queries."""
    values, numbers = np.array(differences), np.array(units)
    sizes = np.bincount(numbers)
    if sizes.max() == 1 or len(sizes) == 1:
        return None
    means = np.bincount(numbers, values) / sizes
    between = (sizes * (means - values.mean()) ** 2).sum() / (len(sizes) - 1)
    within = ((values - means[numbers]) ** 2).sum() / (len(values) - len(sizes))
    typical = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(sizes) - 1)
    spread = between + (typical - 1) * within
    return float((between - within) / spread) if spread else None


def compared(record: RunRecord, evaluator: str = "information_retrieval") -> Iterator[list[str]]:
    """Yield rows for each metric that the run shows: tuned against base, if it came so far, and base against BM25."""
    folders = {role: record.artifact(f"evaluator.{evaluator}.{role}") for role in ("base", "tuned")}
    scores = {role: Scores(folder) for role, folder in folders.items() if folder}
    units = units_of(scores)
    words = bm25(record)
    for metric in record.headlines[evaluator]:
        base = scores["base"].per_query[metric]
        if "tuned" in scores:
            yield [f"{metric}, tuned against base", *_row(scores["tuned"].per_query[metric], base, units)]
        yield [f"{metric}, base against BM25", *_row(base, words[metric], units)]


def bm25(record: RunRecord) -> dict[str, dict[str, float]]:
    """Return what BM25 scores on the run's test split, by metric and query id."""
    import bm25s

    data = RetrievalSet(judged_set(record) or Path())
    judge = InformationRetrieval(hit_rate_at_k=(1, 10), map_at_k=())
    task = Task.of(data, "test", graded=False, ignore_identical_ids=None)
    index = bm25s.BM25()
    index.index(bm25s.tokenize([document.full_text for document in task.documents], show_progress=False))
    asked = bm25s.tokenize([query.text for query in task.queries], show_progress=False)
    places, scores = index.retrieve(asked, k=min(100, len(task.documents)), show_progress=False)
    retrieved = Retrieved(np.where(scores > 0, places, -1).astype(np.int64), scores.astype(np.float32))
    return {name: task.by_query_id(values) for name, values in judge.measured(task, {"": retrieved}).items()}


def _row(tuned: Mapping[str, float], base: Mapping[str, float], units: QueryUnits) -> Iterator[str]:
    apart, together = paired(tuned, base), paired(tuned, base, units)
    queries = sorted(tuned)
    alike = correlation([tuned[query] - base[query] for query in queries], units.numbered(queries))
    yield from (f"{together.queries:,}", f"{together.units:,}", "-" if alike is None else f"{alike:.2f}")
    yield f"{together.difference:+.4f}"
    yield from (_ends(apart), _ends(together), f"{100 * (_width(together) / _width(apart) - 1):+.0f}%")
    yield " → ".join(dict.fromkeys((apart.verdict, together.verdict)))


def _ends(interval: Interval) -> str:
    return f"{interval.low:+.4f} to {interval.high:+.4f}"


def _width(interval: Interval) -> float:
    return (interval.high or 0.0) - (interval.low or 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="folder of the data sets")
    parser.add_argument("--runs", type=Path, help="folder that keeps runs and results; by default a passing one")
    parser.add_argument("--write", type=Path, help="file for the results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.runs or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        parts = []
        for name, record in runs(arguments.data.resolve(), folder):
            lines = [HEADER, ["---"] * len(HEADER), *compared(record)]
            parts.append(f"## {name}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
            print(parts[-1], flush=True)
    if arguments.write:
        written = arguments.write.read_text("utf-8") if arguments.write.exists() else "# Independent units\n"
        kept = written.partition("<!-- measured -->")[0].rstrip()
        arguments.write.write_text(f"{kept}\n\n<!-- measured -->\n\n" + "\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main()
