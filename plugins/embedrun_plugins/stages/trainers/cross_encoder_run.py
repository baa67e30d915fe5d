"""Fine-tuning a reranker with sentence-transformers' cross-encoder trainer, from the set to the saved model."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments
from transformers import PrinterCallback

from embedrun_plugins.models import cross_encoders
from embedrun_plugins.models.padding_free import pair_forward
from embedrun_plugins.stages.trainers import lora, training_arguments
from embedrun_plugins.stages.trainers.checkpoints import ResumableCrossEncoderTrainer, ResumableWeights
from embedrun_plugins.stages.trainers.dropout import set_dropout
from embedrun_plugins.stages.trainers.sentence_transformers_run import SentenceTransformersTraining, dataset

if TYPE_CHECKING:
    from embedrun_plugins.stages.trainers.training_rows import TrainingRows


@dataclass(frozen=True)
class CrossEncoderTraining(SentenceTransformersTraining):
    """One fine-tuning of a cross-encoder. All that is not about pairs is as for an embedding model."""

    arguments: ClassVar[training_arguments.Arguments] = CrossEncoderTrainingArguments

    def _load(self, device: str) -> Any:
        return cross_encoders.load(self.model, device, seed=self.ctx.seed)

    def _prepare(self, tuned: Any, table: TrainingRows, args: Any) -> Any:
        del table, args
        if self.options.dropout is not None:
            set_dropout(tuned, self.options.dropout)
        if self.options.lora is None:
            return None
        attached = lora.attach(self.options.lora, tuned)
        cross_encoders.train_head(tuned)
        return attached

    def _trainer(self, tuned: Any, table: TrainingRows, args: Any) -> ResumableWeights:
        trainer = ResumableCrossEncoderTrainer(
            keep=self.options.save_total_limit,
            model=tuned,
            args=args,
            train_dataset=dataset(table),
            loss=self.loss.build(tuned),
            callbacks=self._callbacks(),
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    def _without_padding(self, trainer: Any, tuned: Any) -> AbstractContextManager[None]:
        if self.options.grouping == "off" or trainer.args.torch_compile:
            return nullcontext()
        return pair_forward.padding_free_training(tuned)
