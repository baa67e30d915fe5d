"""A local plugin whose trainings take no time and whose scores are known, for sweeps."""

from __future__ import annotations

import json
import math
import shutil
import time
from typing import Annotated, Any, Literal

from embedrun import Comparison, Context, Evaluator, Loss, Model, RetrievalSet, Scores, Trainer, Unkeyed, hookimpl
from embedrun.artifacts import Split
from embedrun.errors import StageError
from embedrun_plugins.stages.evaluators.paired_differences import comparison

RECIPE = """# The shop's own recipe.
name: shop
model: model
plugins: [fakes.py, fake_trainings.py]
source: fake
loss: fake
# Trains.
trainer:
  type: curve
  learning_rate: 1e-4  # as in the paper

evaluator: curve
"""
RATES = "trainer.learning_rate=1e-5..1e-2 log"


class CurveTrainer(Trainer):
    """Is best at a learning rate of 1e-3, and tells a dev score that grows with each epoch."""

    type: Literal["curve"] = "curve"
    learning_rate: float = 1e-4
    """Learning rate."""
    epochs: int = 4
    """Epochs."""
    layers: int = 2
    """Has no effect."""
    eval_strategy: Literal["no", "epoch"] = "no"
    """When it tells its score."""
    wait: Annotated[float, Unkeyed] = 0.0
    """Seconds per epoch."""
    fails_above: float = 1.0
    """Learning rate from which it diverges."""

    def watched_split(self) -> Split | None:
        return None if self.eval_strategy == "no" else "dev"

    def refuses(self, loss: Loss) -> str | None:
        del loss
        return "epochs: 13 bring bad luck" if self.epochs == 13 else None

    def run(self, ctx: Context, data: RetrievalSet, model: Model, loss: Loss, dev: Evaluator | None) -> Model:
        if self.learning_rate > self.fails_above:
            raise StageError("training diverged")
        quality = 0.8 - 0.2 * abs(math.log10(self.learning_rate) + 3)
        counter = ctx.state / "epochs"
        done = int(counter.read_text()) if counter.exists() else 0
        for epoch in range(done + 1, self.epochs + 1):
            time.sleep(self.wait)
            counter.write_text(str(epoch))
            if self.eval_strategy == "epoch":
                ctx.event("evaluation", step=10 * epoch, **{"eval_ndcg@10": quality * epoch / self.epochs})
        ctx.note("went on from", done)
        shutil.copytree(model.path, ctx.out, dirs_exist_ok=True)
        (ctx.out / "quality.json").write_text(json.dumps(quality), "utf-8")
        return Model(ctx.out)


class CurveEvaluator(Evaluator):
    """Scores a model by what it says of itself."""

    type: Literal["curve"] = "curve"
    split: Split = "test"
    """Split."""

    def metrics(self) -> frozenset[str]:
        return frozenset({"ndcg@10"})

    def split_needed(self) -> Split:
        return self.split

    def run(self, ctx: Context, data: RetrievalSet, model: Model) -> Scores:
        file = model.path / "quality.json"
        quality = json.loads(file.read_text("utf-8")) if file.exists() else 0.2
        values = dict.fromkeys(data.relevant(self.split), quality)
        return Scores.write(ctx.out, {"ndcg@10": quality}, {"ndcg@10": values})

    def score(self, model: Any, data: RetrievalSet, split: Split) -> dict[str, float]:
        return {"ndcg@10": 0.0}

    def compare(self, ctx: Context, scores: Any) -> Comparison:
        return comparison(ctx, scores)


@hookimpl
def embedrun_stages() -> list[type]:
    return [CurveTrainer, CurveEvaluator]
