"""What training tells while it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentence_transformers.base.evaluation import BaseEvaluator
from transformers import TrainerCallback, TrainerControl, TrainerState

from embedrun.context import Context
from embedrun.errors import UserError, suggest

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embedrun.artifacts import RetrievalSet, Split
    from embedrun.stages import Evaluator

_TIMES = ("_runtime", "_per_second", "_time")


class DevScores(BaseEvaluator):
    """The recipe's evaluator, as sentence-transformers' trainer calls it."""

    def __init__(self, evaluator: Evaluator, data: RetrievalSet, split: Split, watched: str | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.evaluator = evaluator
        self.watched = watched
        self.data = data
        self.split = split

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the evaluator's metrics by its own names. Raises UserError where the watched one is not among them."""
        del output_path, epoch, steps
        tuned: SentenceTransformer = model
        scores = {name: float(value) for name, value in self.evaluator.score(tuned, self.data, self.split).items()}
        if self.watched and self.watched not in scores:
            hint = suggest(self.watched, scores)
            raise UserError(f"trainer.metric_for_best_model: there is no '{self.watched}' among the scores{hint}")
        return scores


class Reporter(TrainerCallback):
    """Reports steps, the loss curve and evaluations, once however many processes train."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self._loss = ""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        del args, control
        if state.is_world_process_zero:
            self.ctx.progress(f"training{self._loss}", state.global_step, state.max_steps)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **values: Any) -> None:
        del args, control
        logs: Mapping[str, float] = values["logs"]
        if state.is_world_process_zero and "loss" in logs:
            self._loss = f", loss {logs['loss']:.4g}"
            self.ctx.event("log", step=state.global_step, **logs)

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **values: Any) -> None:
        del args, control
        metrics = {name: value for name, value in values["metrics"].items() if not name.endswith(_TIMES)}
        if state.is_world_process_zero:
            self.ctx.event("evaluation", step=state.global_step, **metrics)


def write_history(file: Path, state: TrainerState) -> None:
    """Write the loss curve and the evaluations, without durations, so that equal trainings give equal files."""
    entries = [
        {name: value for name, value in entry.items() if not name.endswith(_TIMES)}
        for entry in state.log_history
        if "train_runtime" not in entry
    ]
    history = {"log": entries, "best_metric": state.best_metric, "best_step": state.best_global_step}
    file.write_text(json.dumps(history, indent=1, sort_keys=True) + "\n", "utf-8")
