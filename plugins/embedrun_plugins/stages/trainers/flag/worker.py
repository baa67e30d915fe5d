"""One process of FlagEmbedding's encoder-only runner, with what it lacks.

Its own checkpoints cannot be gone on from: their tensors have other names than the model in training, so that nothing
of them would be loaded. Which positive and which negatives a question is trained with is drawn anew in each epoch; here
so that it depends on nothing but seed, epoch and question.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import torch
from FlagEmbedding.abc.finetune.embedder.AbsDataset import AbsEmbedderTrainDataset
from FlagEmbedding.finetune.embedder.encoder_only.base import (
    EncoderOnlyEmbedderDataArguments,
    EncoderOnlyEmbedderModelArguments,
    EncoderOnlyEmbedderRunner,
    EncoderOnlyEmbedderTrainer,
    EncoderOnlyEmbedderTrainingArguments,
)
from safetensors.torch import save_file
from transformers import PrinterCallback, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from embedrun_plugins.services.distributed import collectives
from embedrun_plugins.services.distributed.launch import STOP
from embedrun_plugins.services.distributed.parent_process import run_worker, write_event
from embedrun_plugins.stages.trainers import checkpoints, resume_callbacks
from embedrun_plugins.stages.trainers.checkpoint_callbacks import CheckpointInterval, EarlyEnd
from embedrun_plugins.stages.trainers.determinism import reproducible
from embedrun_plugins.stages.trainers.dropout import set_dropout
from embedrun_plugins.stages.trainers.flag.job import FlagJob


class Draws(AbsEmbedderTrainDataset):  # type: ignore[misc] # FlagEmbedding has no types
    """Rows whose draws depend on seed, epoch and row alone, so that a training can go on where it was killed."""

    def __init__(self, seed: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.seed = seed
        self.epoch = 0

    def __getitem__(self, item: int) -> Any:
        before = random.getstate()
        random.seed(f"{self.seed} {self.epoch} {item}")
        try:
            return super().__getitem__(item)
        finally:
            random.setstate(before)


class FlagTrainer(checkpoints.Resumable, EncoderOnlyEmbedderTrainer):  # type: ignore[misc]
    """FlagEmbedding's trainer, whose checkpoints hold weights in safetensors alone, and are loaded again."""

    model: Any

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        del state_dict
        self.model.save(output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        del model
        self.model.model.load_state_dict(checkpoints.load_weights(Path(resume_from_checkpoint)))


class ProgressEvents(TrainerCallback):
    """Writes steps and the loss as events, and gives the rows their epoch."""

    def __init__(self, rows: Draws) -> None:
        self.rows = rows

    def on_epoch_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        del args, control
        self.rows.epoch = resume_callbacks.epoch_of(state)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        del args, control
        if state.is_world_process_zero:
            write_event("step", done=state.global_step, total=state.max_steps)

    def on_log(self, args: Any, state: TrainerState, control: Any, **values: Any) -> None:
        del args, control
        if state.is_world_process_zero and "loss" in values["logs"]:
            write_event("log", step=state.global_step, **values["logs"])


class Runner(EncoderOnlyEmbedderRunner):  # type: ignore[misc]
    """FlagEmbedding's runner for one job."""

    def __init__(self, job: FlagJob) -> None:
        self.job = job
        super().__init__(
            model_args=EncoderOnlyEmbedderModelArguments(**job.model),
            data_args=EncoderOnlyEmbedderDataArguments(**job.data),
            training_args=EncoderOnlyEmbedderTrainingArguments(**job.training),
        )

    def load_tokenizer_and_model(self) -> tuple[Any, Any]:
        tokenizer, model = super().load_tokenizer_and_model()
        # Steps are lost in 16 bits; mixed precision computes in them, but keeps weights in 32.
        model.model.float()
        if self.job.attention:
            model.model.set_attn_implementation(self.job.attention)
        if self.job.dropout is not None:
            set_dropout(model, self.job.dropout)
        return tokenizer, model

    def load_train_dataset(self) -> Draws:
        return Draws(self.training_args.seed, args=self.data_args, tokenizer=self.tokenizer)

    def load_trainer(self) -> FlagTrainer:
        trainer = FlagTrainer(
            model=self.model,
            args=self.training_args,
            train_dataset=self.train_dataset,
            data_collator=self.data_collator,
            processing_class=self.tokenizer,
            callbacks=[ProgressEvents(self.train_dataset), CheckpointInterval(self.job.save_min_seconds)],
        )
        trainer.add_callback(EarlyEnd(Path(STOP).exists))
        trainer.remove_callback(PrinterCallback)
        return trainer

    def run(self) -> None:
        """Train from the last checkpoint, or from the start, and leave the model and some of its vectors."""
        last = checkpoints.last_checkpoint(self.job.output)
        # None may remove it before all have seen it.
        collectives.barrier()
        if last and checkpoints.is_finished(last):
            self.trainer.state = TrainerState.load_from_json(str(last / TRAINER_STATE_NAME))
            self.trainer._load_from_checkpoint(str(last))  # noqa: SLF001 - it is overridden above
            self.trainer.save_model()
        else:
            self.training_args.resume_from_checkpoint = str(last) if last else None
            self.trainer.goes_on_from = last
            super().run()
        if self.training_args.should_save:
            self.trainer.state.save_to_json(str(self.job.output / TRAINER_STATE_NAME))
            Path(self.job.vectors).parent.mkdir(exist_ok=True)
            save_file({role: self._vectors(role) for role in self.job.samples}, self.job.vectors)
            checkpoints.mark(self.job.output, finished=True)
        collectives.barrier()

    def _vectors(self, role: str) -> torch.Tensor:
        """Return (texts, dimensions) of the samples, as FlagEmbedding encodes them."""
        self.model.eval()
        self.model.normalize_embeddings, self.model.use_mrl = self.job.normalize, False
        data, name = self.data_args, "query" if role == "query" else "passage"
        prompt, form = (getattr(data, f"{name}_instruction_{part}") for part in ("for_retrieval", "format"))
        texts = [form.format(prompt or "", text) for text in self.job.samples[role]]
        limit = {"truncation": True, "max_length": self.job.max_length} if self.job.max_length else {}
        features = self.tokenizer(texts, padding=True, return_tensors="pt", **limit).to(self.training_args.device)
        with torch.no_grad():
            return self.model.encode(features).float().cpu().contiguous()  # type: ignore[no-any-return]


def main() -> None:
    job = FlagJob.read(Path(sys.argv[1]))
    with reproducible(on_cuda=torch.cuda.is_available() and not job.training.get("use_cpu")):
        Runner(job).run()


if __name__ == "__main__":
    run_worker(main)
