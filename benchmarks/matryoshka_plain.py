"""The Matryoshka example as its blog writes it, with sentence-transformers alone: the plain side of matryoshka.py."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matryoshka_steps import DIMENSIONS
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator, SequentialEvaluator
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
from sentence_transformers.util import cos_sim

from embedrun import RetrievalSet

PHASES = ("baseline evaluation", "training", "evaluation in training", "final evaluation")


@dataclass
class Timed:
    """Seconds by phase, and nDCG@10 by dimension before and after."""

    seconds: dict[str, float] = field(default_factory=dict)
    before: Mapping[int, float] = field(default_factory=dict)
    after: Mapping[int, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def finish(self) -> Timed:
        self.seconds["training"] -= self.seconds["evaluation in training"]
        self.seconds["evaluation, all"] = sum(v for name, v in self.seconds.items() if "evaluation" in name)
        self.seconds["whole"] = self.seconds["evaluation, all"] + self.seconds["training"]
        return self


def plain(arguments: argparse.Namespace, data: RetrievalSet, folder: Path) -> Timed:
    """Run the example as its blog does: one evaluator for each dimension, each encoding everything."""
    from datasets import Dataset

    timed = Timed()
    model = SentenceTransformer(str(arguments.model), device=arguments.device)
    questions: dict[str, Any] = {key: data.queries[key].text for key in data.relevant("test")}
    texts: dict[str, Any] = {key: document.full_text for key, document in data.documents.items()}
    asked = {key: {d for d, gain in found.items() if gain > 0} for key, found in data.relevant("test").items()}
    evaluators = [
        InformationRetrievalEvaluator(
            questions,
            texts,
            asked,
            name=f"dim_{dimension}",
            truncate_dim=dimension,
            score_functions={"cosine": cos_sim},
        )
        for dimension in DIMENSIONS
    ]
    judge = SequentialEvaluator(evaluators)
    with timed.phase(PHASES[0]):
        timed.before = _plain_scores(judge(model))

    class Watched(SequentialEvaluator):
        def __call__(self, *given: Any, **named: Any) -> Any:
            with timed.phase(PHASES[2]):
                return super().__call__(*given, **named)

    rows = [(data.queries[j.query_id].text, data.documents[j.document_id].full_text) for j in data.qrels("train")]
    table = Dataset.from_dict({"anchor": [a for a, _ in rows], "positive": [b for _, b in rows]})
    loss = MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), matryoshka_dims=list(DIMENSIONS))
    options = SentenceTransformerTrainingArguments(output_dir=str(folder / "plain"), **_plain_options(arguments))
    with timed.phase(PHASES[1]):
        trainer = SentenceTransformerTrainer(model, options, table, loss=loss, evaluator=Watched(evaluators))
        trainer.train()
        model.save_pretrained(str(folder / "plain-model"), create_model_card=False)
    with timed.phase(PHASES[3]):
        tuned = SentenceTransformer(str(folder / "plain-model"), device=arguments.device)
        timed.after = _plain_scores(judge(tuned))
    return timed.finish()


def _plain_scores(found: Any) -> dict[int, float]:
    return {dimension: float(found[f"dim_{dimension}_cosine_ndcg@10"]) for dimension in DIMENSIONS}


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "gradient_accumulation_steps": arguments.accumulation,
        "learning_rate": 2e-5,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "optim": "adamw_torch_fused",
        "batch_sampler": "no_duplicates",
        "bf16": arguments.device.startswith("cuda"),
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "load_best_model_at_end": True,
        "logging_steps": 10,
        "save_total_limit": 3,
    }


def _plain_options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        **options_of(arguments),
        "num_train_epochs": arguments.epochs,
        "per_device_train_batch_size": arguments.batch_size,
        "metric_for_best_model": "eval_dim_128_cosine_ndcg@10",
        "use_cpu": arguments.device == "cpu",
        "seed": arguments.seed,
        "report_to": "none",
        "disable_tqdm": True,
    }
