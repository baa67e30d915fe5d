"""The trainer `sentence_transformers`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from embedrun.artifacts import Model, RetrievalSet, Split
from embedrun.errors import MissingPackageError, UserError
from embedrun.rehearsal import Rehearsal
from embedrun_plugins.stages.trainers import option_checks, training_share
from embedrun_plugins.stages.trainers.training_options import TrainingOptions

if TYPE_CHECKING:
    from embedrun.context import Context
    from embedrun.stages import Evaluator, Loss

_SMALLEST_GROUPED_BATCH = 4
_MODULES = {"azure_ml": "azureml", "flyte": "flytekit"}
"""Modules of trackers that are not called as they are."""


class SentenceTransformersTrainer(TrainingOptions):
    """Fine-tune with sentence-transformers' trainer.

    Goes on from its last checkpoint after it was killed, and gives the same weights as if it had not been. Columns go
    to the loss in its order, with the model's prompts before queries and documents.
    """

    type: Literal["sentence_transformers"] = "sentence_transformers"

    def run(self, ctx: Context, data: RetrievalSet, model: Model, loss: Loss, dev: Evaluator | None) -> Model:
        self._require_packages()
        from embedrun_plugins.models import cut_texts
        from embedrun_plugins.stages.trainers.multi_process import launcher
        from embedrun_plugins.stages.trainers.sentence_transformers_run import SentenceTransformersTraining

        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError(
                "trainer: sentence_transformers starts its processes itself; run embedrun without torchrun, and set "
                "trainer.processes"
            )
        data = training_share.shared(ctx, data, self.share)
        for warning in cut_texts.warnings(model, data):
            ctx.warn(warning)
        training = SentenceTransformersTraining(self, ctx, data, model, loss, dev)
        return training.run() if self.processes == 1 else launcher.train(training)

    def rehearsal(self, rehearsal: Rehearsal) -> SentenceTransformersTrainer:
        """Return the trainer for two steps on the CPU, with an evaluation and a checkpoint as the recipe has them."""
        from embedrun_plugins.stages.rehearsal.stand_ins import changed
        from embedrun_plugins.stages.trainers.rehearsal import ON_GPU_EXTRA, STEPS, fewer, on_cpu

        self._require_packages()
        evaluated, saved = self.eval_strategy != "no", self.save_strategy in ("steps", "epoch")
        if self.report_to:
            rehearsal.note(f"nothing is reported to {', '.join(self.report_to)}")
        evaluation = {"eval_strategy": "steps", "eval_steps": STEPS, "eval_delay": 0, "eval_on_start": False}
        return changed(
            self,
            **fewer(self, rehearsal),
            **({"save_strategy": "steps", "save_steps": STEPS} if saved else {}),
            **(evaluation if evaluated else {}),
            dataloader_prefetch_factor=None,
            dataloader_persistent_workers=False,
            save_min_seconds=0.0,
            dataloader_drop_last=False,
            report_to=(),
            optim=on_cpu(self.optim, rehearsal),
            extra={name: value for name, value in self.extra.items() if name not in ON_GPU_EXTRA},
        )

    def faults(self) -> Iterable[str]:
        return option_checks.faults(self)

    def needs(self) -> Mapping[str, str]:
        tracked = {"tensorboard": "tracking"} if "tensorboard" in self.report_to else {}
        return tracked | ({"peft": "lora"} if self.lora else {})

    def _require_packages(self) -> None:
        for package, extra in self.needs().items():
            if find_spec(package) is None:
                raise MissingPackageError("trainer", package, extra)
        for tracker in self.report_to:
            package = _MODULES.get(tracker, tracker)
            if find_spec(package) is None:
                raise UserError(f"trainer.report_to: '{tracker}' needs the package '{package}', which is not installed")

    def refuses(self, loss: Loss) -> str | None:
        fed = loss.fed()
        grouped = self.batch_sampler == "group_by_label" or (self.batch_sampler is None and fed == "labelled_texts")
        if self.batch_sampler == "group_by_label" and fed not in ("labelled_texts", "labelled_pairs"):
            return f"batch_sampler: 'group_by_label' needs a loss over labels, which '{loss.type}' is not"
        if grouped and (self.batch_size < _SMALLEST_GROUPED_BATCH or self.batch_size % 2):
            return f"batch_size: '{loss.type}' needs an even number of at least 4, not {self.batch_size}"
        if fed in ("triplets", "distillation") and self.negatives_per_query == 0:
            return f"negatives_per_query: '{loss.type}' needs negatives; raise it or leave it out"
        if fed in ("triplets", "distillation") and self.eval_strategy != "no" and self.judges_by_loss:
            return f"metric_for_best_model: the loss of '{loss.type}' needs negatives, which only the train split has"
        return None

    def watched_metric(self) -> str | None:
        if self.metric_for_best_model is None or self.judges_by_loss:
            return None
        return self.metric_for_best_model.removeprefix("eval_")

    def watched_split(self) -> Split | None:
        return None if self.eval_strategy == "no" else self.eval_split

    def forecast(self, data: RetrievalSet | None, loss: Loss | None = None) -> Mapping[str, object]:
        """Say how many rows and steps there are; rows are pairs where the loss is not given."""
        if data is None:
            return {}
        from embedrun_plugins.stages.trainers import rows
        from embedrun_plugins.stages.trainers.training_rows import TrainingData

        if loss is None:
            from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking

            loss = MultipleNegativesRanking()
        table = rows.make(TrainingData(data, loss, negatives_per_query=self.negatives_per_query))
        count = max(1, round(len(table) * (self.share or 1)))
        return {
            "rows": count,
            "negatives per row": table.negatives,
            "optimizer steps": self._steps(count),
            "largest batch": min(self.batch_size, count),
        }

    def _steps(self, count: int) -> int:
        if self.max_steps:
            return self.max_steps
        batches = count / (self.batch_size * self.processes)
        batches = math.floor(batches) if self.dataloader_drop_last or self.processes > 1 else math.ceil(batches)
        return math.ceil(self.epochs * max(1, math.ceil(batches / self.gradient_accumulation_steps)))
