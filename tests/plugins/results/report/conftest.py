"""A finished Matryoshka run as a folder, small and made by hand, with texts that try to break out of the page."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from embedrun.artifacts import Document, Judgement, Query, RetrievalSet, Scores
from embedrun.record import RunRecord
from embedrun_plugins.stages.evaluators.paired_differences import compare

HOSTILE = '<script>document.title="broken out"</script><img src="https://example.org/x.png" onerror="alert(1)">'
QUERIES = 12
DIMENSIONS = ("", "dim_16_", "dim_8_")


@dataclass
class Made:
    """A run's folder in the making; what a test changes before it is written."""

    folder: Path
    data: dict[str, Any] = field(default_factory=dict)
    lock: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder.parents[1] / ".store"

    def artifact(self, slot: str) -> Path:
        return self.store / "00" / self.key(slot) / "out"

    def key(self, slot: str) -> str:
        return f"00{slot.encode().hex()}"

    def stage(self, slot: str, kind: str, **changed: Any) -> None:
        given = {"cached": False, "seconds": 2.5, "peak_memory": 10**9, "notes": {}, "warnings": [], "error": None}
        self.data["stages"].append(
            {"slot": slot, "type": kind, "key": self.key(slot), "digest": "d1", **given, **changed}
        )

    def write(self) -> RunRecord:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "run.json").write_text(json.dumps(self.data))
        (self.folder / "recipe.lock.json").write_text(json.dumps({"lock": {"recipe": self.lock}}))
        (self.folder / "recipe.yaml").write_text(f"name: demo  # {HOSTILE}\n")
        return RunRecord.read(self.folder)


def _scores(made: Made, role: str, shift: int) -> Scores:
    """Write scores by which the right passage of query i ranks (i + shift) mod 4, from 0."""
    slot = f"evaluator.information_retrieval.{role}"
    folder = made.artifact(slot)
    per_query = {}
    for number, prefix in enumerate(DIMENSIONS):
        per_query[f"{prefix}ndcg@10"] = {f"q{i}": 1 / (1 + number + (i + shift) % 4) for i in range(QUERIES)}
        per_query[f"{prefix}mrr@10"] = per_query[f"{prefix}ndcg@10"]
    metrics = {name: sum(values.values()) / QUERIES for name, values in per_query.items()}
    scores = Scores.write(folder, metrics, per_query)
    lines = []
    for i in range(QUERIES):
        wrong = [f"d{j}" for j in range(QUERIES) if j != i][:3]
        ranked = [*wrong[: (i + shift) % 4], f"d{i}", *wrong[(i + shift) % 4 :]]
        lines += [f"q{i} Q0 {name} {rank} 0.5 embedrun\n" for rank, name in enumerate(ranked, start=1)]
    (folder / "run.trec").write_text("".join(lines))
    (folder / "qrels.trec").write_text("".join(f"q{i} 0 d{i} 1\n" for i in range(QUERIES)))
    made.stage(slot, "information_retrieval", notes={"queries": QUERIES})
    return scores


def _model(folder: Path) -> None:
    (folder / "1_Pooling").mkdir(parents=True)
    modules = [{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}]
    log = [{"step": step, "loss": 3 / step, "epoch": step / 10} for step in range(1, 31)]
    log += [{"step": step, "eval_dim_8_ndcg@10": 0.5 + step / 100} for step in (10, 20, 30)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 32}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 6}))
    (folder / "training_history.json").write_text(json.dumps({"log": log}))


def _source(made: Made) -> None:
    documents = [Document(f"d{i}", f"Passage {i} says {HOSTILE} {'much ' * i}") for i in range(QUERIES)]
    queries = [Query(f"q{i}", f"Question {i} {HOSTILE}") for i in range(QUERIES)]
    judged = [Judgement(f"q{i}", f"d{i}") for i in range(QUERIES)]
    RetrievalSet.write(made.artifact("source"), documents=documents, queries=queries, qrels={"test": judged})
    leaks = {"passages": 12, "passages_trained_on": 3, "queries": 12, "queries_trained_on": 0, "best_ndcg@10": 0.9}
    notes = {"rows_read": 12, "rows_dropped": 0, "test_leaks": {**leaks, "best_ndcg@10_unmerged": 0.7}}
    made.stage("source", "pairs", notes=notes, warnings=[f"row 3 is odd: {HOSTILE}"], cached=True)


def _make(folder: Path) -> Made:
    made = Made(folder)
    made.data = {
        "name": "demo",
        "started": "2026-01-01T00:00:00+00:00",
        "status": "done",
        "seconds": 12.5,
        "store": "../../.store",
        "seed": 42,
        "command": ["embedrun", "demo.yaml"],
        "environment": {"python": "3.11", "cpus": 2, "packages": {"torch": "2.13"}, "git": {"commit": "c0ffee"}},
        "stages": [],
        "headlines": {"information_retrieval": ["ndcg@10", "mrr@10", "dim_8_ndcg@10", "dim_16_ndcg@10"]},
    }
    made.lock = {
        "description": HOSTILE,
        "model": {"id": "sentence-transformers/all-MiniLM-L6-v2", "dimensions": None, "max_length": None},
        "trainer": {"type": "sentence_transformers", "metric_for_best_model": "dim_8_ndcg@10", "eval_split": "dev"},
        "evaluator": [{"type": "information_retrieval", "split": "test"}],
    }
    _source(made)
    _model(made.artifact("trainer"))
    made.stage("trainer", "sentence_transformers", notes={"rows": 12, "best step": 20})
    scores = {"base": _scores(made, "base", 1), "tuned": _scores(made, "tuned", 0)}
    made.data["scores"] = {"information_retrieval": {role: found.metrics for role, found in scores.items()}}
    made.data["comparisons"] = {"information_retrieval": compare(scores)}
    made.stage("evaluator.information_retrieval.comparison", "information_retrieval")
    return made


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    def at(name: str = "demo") -> Made:
        return _make(tmp_path / "runs" / name / "2026-01-01T00-00-00Z")

    return at


@pytest.fixture
def rivalled(make: Callable[..., Made]) -> Made:
    """The same run with two models to compare with; the second has no vectors cut to 16 dimensions."""
    made = make("rivalled")
    scores = made.data["scores"]["information_retrieval"]
    slots = {role: Scores(made.artifact(f"evaluator.information_retrieval.{role}")) for role in ("base", "tuned")}
    for shift, role in ((2, "titan"), (3, "cohere")):
        slots[role] = _scores(made, role, shift)
        if role == "cohere":
            kept = {name: values for name, values in slots[role].per_query.items() if "dim_16" not in name}
            Scores.write(slots[role].path, {name: slots[role].metrics[name] for name in kept}, kept)
            slots[role] = Scores(slots[role].path)
        # As a run has it: rivals are scored before anything is trained.
        scores[role] = slots[role].metrics
    scores["tuned"] = scores.pop("tuned")
    made.data["comparisons"] = {"information_retrieval": compare(slots)}
    return made


@pytest.fixture
def made(make: Callable[..., Made]) -> Made:
    return make()
