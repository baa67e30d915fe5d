"""Fine-tuning with sentence-transformers' trainer, from the set to the saved model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import datasets
import torch
from sentence_transformers import SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Router
from transformers import EarlyStoppingCallback, PrinterCallback, set_seed

from embedrun.artifacts import Model
from embedrun.errors import StageError, UserError
from embedrun_plugins.models.padding_free import allocation, forward
from embedrun_plugins.services.distributed import collectives, signals
from embedrun_plugins.stages.trainers import (
    library_messages,
    lora,
    master_weights,
    pretokenized,
    rows,
    training_arguments,
)
from embedrun_plugins.stages.trainers.checkpoint_callbacks import CheckpointInterval, EarlyEnd
from embedrun_plugins.stages.trainers.checkpoints import ResumableTrainer, ResumableWeights
from embedrun_plugins.stages.trainers.determinism import reproducible
from embedrun_plugins.stages.trainers.dropout import set_dropout
from embedrun_plugins.stages.trainers.padding_free_step import PaddingFreeStep, choose
from embedrun_plugins.stages.trainers.progress_callbacks import DevScores, Reporter, write_history
from embedrun_plugins.stages.trainers.training_rows import TrainingData, TrainingRows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embedrun.artifacts import RetrievalSet
    from embedrun.context import Context
    from embedrun.stages import Evaluator, Loss
    from embedrun_plugins.stages.trainers.training_options import TrainingOptions


@dataclass(frozen=True)
class SentenceTransformersTraining:
    """One fine-tuning: what is trained how, on what."""

    options: TrainingOptions
    ctx: Context
    data: RetrievalSet
    model: Model
    loss: Loss
    dev: Evaluator | None
    stop_requested: Callable[[], bool] | None = None
    """Says whether to end early, with a checkpoint; by default, SIGTERM asks for that."""

    def run(self) -> Model:
        """Train and save below `ctx.out`.

        Raises UserError where set, loss and options do not go together, StageError where training fails, and
        KeyboardInterrupt where it ended early, as requested.
        """
        table = rows.make(self.training_data)
        on_cuda = torch.cuda.is_available() and not training_arguments.on_cpu(self.ctx.device)
        same_bits = reproducible(on_cuda=on_cuda, wanted=self.options.full_determinism)
        with (
            library_messages.redirected(self.ctx.warn),
            library_messages.without_bars(),
            _tracked(self.options),
            same_bits,
        ):
            args = self._arguments()
            set_seed(self.ctx.seed)
            tuned = self._load(str(args.device))
            if self.loss.fed() == "labelled_texts":
                table = self._prompted(tuned)
            self._require_batches(table, args.world_size)
            self._note(table)
            attached = self._prepare(tuned, table, args)
            stored = master_weights.prepare(tuned, self.model.settings.dtype, self.ctx)
            trainer = self._trainer(tuned, table, args)
            unpadded = self._without_padding(trainer, tuned)
            memory = allocation.keep_freed_memory() if args.device.type == "cpu" else nullcontext()
            stop = nullcontext(self.stop_requested) if self.stop_requested else signals.stop_requested()
            with unpadded, memory, stop as stop_requested:
                trainer.add_callback(EarlyEnd(stop_requested))
                fit(trainer)
            if attached is not None:
                lora.merge(attached)
            master_weights.narrow(stored)
            self._publish(trainer, tuned)
        return self.result

    @property
    def result(self) -> Model:
        return Model(self.ctx.out, self.model.settings.unsaved())

    @property
    def training_data(self) -> TrainingData:
        return TrainingData(
            self.data, self.loss, negatives_per_query=self.options.negatives_per_query, seed=self.ctx.seed
        )

    arguments: ClassVar[training_arguments.Arguments] = SentenceTransformerTrainingArguments

    def _arguments(self) -> Any:
        folder = self.ctx.state / "checkpoints"
        return training_arguments.build(
            self.options,
            folder=folder,
            seed=self.ctx.seed,
            device=self.ctx.device,
            rows=self.loss.fed(),
            of=self.arguments,
        )

    def _load(self, device: str) -> Any:
        return self.model.load(device)

    def _without_padding(self, trainer: Any, tuned: Any) -> AbstractContextManager[None]:
        step = trainer.padding_free
        return forward.padding_free_training(tuned, step.strategy) if step else nullcontext()

    def _prompted(self, tuned: SentenceTransformer) -> TrainingRows:
        """Make rows of mixed texts again, with each text's own prompt before it."""
        prompts = {role: tuned.prompts.get(role) or "" for role in ("query", "document")}
        pooled_without = any(getattr(module, "include_prompt", True) is False for module in tuned.modules())
        if pooled_without and any(prompts.values()):
            raise UserError(
                f"the loss '{self.loss.type}' mixes queries and documents, which this model cannot tell apart: "
                "it leaves prompts out of its vectors; use another loss, such as 'multiple_negatives_ranking'"
            )
        return rows.make(replace(self.training_data, prompts=prompts))

    def _require_batches(self, table: TrainingRows, processes: int) -> None:
        """Raise UserError where no batch could teach anything."""
        options, in_batch = self.options, self.loss.fed() == "pairs" and not table.negatives
        if in_batch and options.batch_size == 1:
            raise self.training_data.refuse(
                "a batch of 1 row holds no other passage to learn from; raise trainer.batch_size"
            )
        if in_batch and min(len(set(column)) for column in table.columns.values()) == 1:
            raise self.training_data.refuse("it has one query or one document only; give more, or add negatives")
        whole = options.batch_size * processes
        if (options.dataloader_drop_last or processes > 1) and len(table) < whole:
            raise self.training_data.refuse(f"its {len(table)} rows fill no batch of {whole}; lower trainer.batch_size")

    def _note(self, table: TrainingRows) -> None:
        self.ctx.note("rows", len(table))
        if table.negatives:
            self.ctx.note("negatives per row", table.negatives)
        for name, count in table.notes.items():
            self.ctx.note(name, count)

    def _prepare(self, tuned: Any, table: TrainingRows, args: Any) -> Any:
        """Set the model up for training; returns the LoRA matrices, if there are any, to be merged afterwards."""
        args.prompts = {name: prompt for name, role in table.roles.items() if (prompt := tuned.prompts.get(role))}
        if any(isinstance(module, Router) for module in tuned.children()):
            args.router_mapping = dict(table.roles)
        if self.options.dropout is not None:
            set_dropout(tuned, self.options.dropout)
        if self.options.lora is not None:
            return lora.attach(self.options.lora, tuned)
        return None

    def _trainer(self, tuned: Any, table: TrainingRows, args: Any) -> ResumableWeights:
        options = self.options
        evaluates, by_loss = options.eval_strategy != "no", self.dev is None or options.judges_by_loss
        loss = self.loss.build(tuned)
        scored = rows.make(replace(self.training_data, split=options.eval_split)) if evaluates and by_loss else None
        trainer = ResumableTrainer(
            keep=options.save_total_limit,
            padding_free=self._padding_free(tuned, loss, args),
            model=tuned,
            args=args,
            train_dataset=dataset(table),
            eval_dataset=dataset(scored) if scored else None,
            loss=loss,
            evaluator=self._evaluator() if evaluates else None,
            callbacks=self._callbacks(),
        )
        trainer.remove_callback(PrinterCallback)
        if not pretokenized.tokenize(trainer.data_collator, tuned, [table, scored] if scored else [table]):
            self.ctx.note("texts are tokenized", "in every epoch, since the model's input is not plain tokens")
        return trainer

    def _padding_free(self, tuned: SentenceTransformer, loss: torch.nn.Module, args: Any) -> PaddingFreeStep | None:
        if self.options.grouping == "off":
            return None
        chosen = choose(tuned, loss, compiled=args.torch_compile)
        if isinstance(chosen, str):
            self.ctx.note("batches are padded", chosen)
            return None
        return chosen

    def _evaluator(self) -> DevScores | None:
        watched = self.options.watched_metric()
        return DevScores(self.dev, self.data, self.options.eval_split, watched) if self.dev else None

    def _callbacks(self) -> list[Any]:
        options = self.options
        choosing = options.load_best_model_at_end or options.save_strategy == "best"
        callbacks: list[Any] = [Reporter(self.ctx), CheckpointInterval(0 if choosing else options.save_min_seconds)]
        if options.early_stopping_patience is not None:
            callbacks.append(EarlyStoppingCallback(options.early_stopping_patience, options.early_stopping_threshold))
        return callbacks

    def _publish(self, trainer: ResumableWeights, tuned: Any) -> None:
        if any(not torch.isfinite(parameter).all() for parameter in tuned.parameters()):
            raise StageError("training diverged: the weights are not finite numbers; lower trainer.learning_rate")
        self.ctx.note("optimizer steps", trainer.state.global_step)
        if self.options.load_best_model_at_end and trainer.state.best_global_step:
            self.ctx.note("best step", trainer.state.best_global_step)
        if trainer.args.should_save:
            tuned.save_pretrained(str(self.ctx.out), create_model_card=False)
            write_history(self.ctx.out / "training_history.json", trainer.state)
        collectives.barrier()


def fit(trainer: ResumableWeights) -> None:
    try:
        with warnings.catch_warnings():
            # sentence-transformers calls gradient checkpointing by the name that transformers is giving up.
            warnings.filterwarnings("ignore", ".*`gradient_checkpointing_enable`", FutureWarning)
            trainer.fit()
    except ImportError as error:
        raise UserError(f"trainer.optim: {error}") from error
    except torch.OutOfMemoryError as error:
        raise StageError(
            "training ran out of the GPU's memory; lower trainer.batch_size, set trainer.gradient_checkpointing, "
            "or use a cached_… loss"
        ) from error


def dataset(table: TrainingRows) -> datasets.Dataset:
    return datasets.Dataset.from_dict(dict(table.columns))


@contextmanager
def _tracked(options: TrainingOptions) -> Iterator[None]:
    """Tell TensorBoard's callback, which reads it from the environment, where to write."""
    name = "TENSORBOARD_LOGGING_DIR"
    before = os.environ.get(name)
    os.environ[name] = before or options.logging_dir
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
