"""A local plugin of stages that need no torch, so that the engine's own behaviour can be tested quickly."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from embedrun import (
    Comparison,
    Context,
    DataError,
    Deployer,
    Endpoint,
    Evaluator,
    Filter,
    InputPath,
    Loss,
    Merger,
    Miner,
    Model,
    RetrievalSet,
    Scores,
    Source,
    Trainer,
    Unkeyed,
    hookimpl,
)
from embedrun.testing import small_set
from embedrun_plugins.stages.evaluators.paired_differences import comparison


class FakeSource(Source):
    """Sixteen documents."""

    type: Literal["fake"] = "fake"
    size: int = 16
    """Documents."""
    file: InputPath | None = None
    """A file that the result depends on."""
    workers: Annotated[int, Unkeyed] = 1
    """Cannot change the result."""
    holds: tuple[str, ...] = ("positive",)
    """Columns."""
    fail: str | None = None
    """How to fail."""

    def columns_given(self) -> Any:
        return frozenset(self.holds)

    def faults(self) -> list[str]:
        return (
            ["file: is broken"]
            if self.file and self.file.is_file() and self.file.read_text("utf-8") == "broken"
            else []
        )

    def splits_given(self) -> Any:
        return frozenset({"train", "dev", "test"})

    def inputs(self) -> list[Path]:
        return [self.file] if self.file else []

    def run(self, ctx: Context) -> RetrievalSet:
        if self.fail == "data":
            raise DataError("pairs.csv:3: the score is NaN; give a number")
        if self.fail == "bug":
            raise ZeroDivisionError("division by zero")
        if self.fail == "full":
            raise OSError(28, "No space left on device", "corpus.jsonl")
        made = small_set(ctx.out)
        if self.file:
            (ctx.out / "extra.txt").write_text(self.file.read_text("utf-8").strip(), "utf-8")
        ctx.note("documents", self.size)
        ctx.warn("two rows were empty")
        return made


def _copied(ctx: Context, data: RetrievalSet) -> RetrievalSet:
    return RetrievalSet.write(
        ctx.out,
        documents=data.documents.values(),
        queries=data.queries.values(),
        qrels={split: data.qrels(split) for split in data.splits},
    )


class FakeFilter(Filter):
    """Copies the set."""

    type: Literal["copy"] = "copy"

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        return _copied(ctx, data)


class FakeMiner(Miner):
    """Copies the set."""

    type: Literal["fake"] = "fake"

    def run(self, ctx: Context, data: RetrievalSet, model: Model) -> RetrievalSet:
        return _copied(ctx, data)


class FakeLoss(Loss):
    """No loss."""

    type: Literal["fake"] = "fake"
    temperature: float = 0.05
    """Scale."""

    def build(self, model: Any) -> Any:
        return None


class HungryLoss(FakeLoss):
    """Needs negatives."""

    type: Literal["hungry"] = "hungry"  # type: ignore[assignment]
    rows = "triplets"


class FakeTrainer(Trainer):
    """Counts its steps in a file, so that a killed one can go on."""

    type: Literal["fake"] = "fake"
    epochs: int = 3
    """Steps."""
    kill_at: Annotated[int | None, Unkeyed] = None
    """Kill this process at a step."""
    wait: Annotated[float, Unkeyed] = 0.0
    """Seconds per step."""
    metric_for_best_model: str | None = None
    """Metric."""
    delay: float = 0
    """A number whose default is whole, as transformers has some."""

    def watched_metric(self) -> str | None:
        return self.metric_for_best_model

    def watched_split(self) -> Any:
        return "dev" if self.metric_for_best_model else None

    def run(self, ctx: Context, data: RetrievalSet, model: Model, loss: Loss, dev: Evaluator | None) -> Model:
        counter = ctx.state / "steps.json"
        steps: list[int] = json.loads(counter.read_text()) if counter.exists() else []
        for step in ctx.track(range(len(steps), self.epochs), "training"):
            time.sleep(self.wait)
            if step == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            steps.append(step)
            counter.write_text(json.dumps(steps))
        (ctx.out / "config.json").write_text(json.dumps({"steps": steps, "seed": ctx.seed}), "utf-8")
        return Model(ctx.out)


class FakeMerger(Merger):
    """Copies the tuned model."""

    type: Literal["fake"] = "fake"

    def run(self, ctx: Context, data: RetrievalSet, base: Model, tuned: Model, dev: Evaluator | None) -> Model:
        (ctx.out / "config.json").write_text((tuned.path / "config.json").read_text(), "utf-8")
        return Model(ctx.out)


class FakeEvaluator(Evaluator):
    """Scores by the number of steps."""

    type: Literal["fake"] = "fake"
    least: Annotated[float | None, Unkeyed] = None
    """Limit."""
    file: InputPath | None = None
    """A file that the scores depend on."""

    def inputs(self) -> list[Path]:
        return [self.file] if self.file else []

    def metrics(self) -> frozenset[str]:
        return frozenset({"ndcg@10"})

    def split_needed(self) -> Any:
        return "test"

    def run(self, ctx: Context, data: RetrievalSet, model: Model) -> Scores:
        steps = len(json.loads((model.path / "config.json").read_text()).get("steps", []))
        values = {query: min(1.0, 0.2 + 0.1 * steps) for query in data.relevant("test")}
        return Scores.write(ctx.out, {"ndcg@10": values[next(iter(values))]}, {"ndcg@10": values})

    def score(self, model: Any, data: RetrievalSet, split: Any) -> dict[str, float]:
        return {"ndcg@10": 0.0}

    def compare(self, ctx: Context, scores: Any) -> Comparison:
        return comparison(ctx, scores)

    def unmet(self, scores: Any, comparison: Any) -> list[str]:
        last = list(scores.values())[-1].metrics["ndcg@10"]
        return [f"ndcg@10 is {last:.2f}, below {self.least}"] if self.least is not None and last < self.least else []


class FakeDeployer(Deployer):
    """Writes a file."""

    type: Literal["fake"] = "fake"
    at: Path
    """File."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        self.at.write_text("deployed", "utf-8")
        return Endpoint(deployer=self.type, path=str(self.at))

    def delete(self, endpoint: Endpoint) -> None:
        Path(str(endpoint.path)).unlink(missing_ok=True)


@hookimpl
def embedrun_stages() -> list[type]:
    return [
        FakeSource,
        FakeFilter,
        FakeMiner,
        FakeLoss,
        HungryLoss,
        FakeTrainer,
        FakeMerger,
        FakeEvaluator,
        FakeDeployer,
    ]
