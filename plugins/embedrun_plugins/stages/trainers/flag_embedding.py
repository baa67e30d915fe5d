"""The trainer `flag_embedding`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from embedrun.artifacts import Model, RetrievalSet
from embedrun.errors import UserError
from embedrun.rehearsal import Rehearsal
from embedrun_plugins.stages.losses.ranking import InfoNce
from embedrun_plugins.stages.rehearsal.stand_ins import changed
from embedrun_plugins.stages.trainers import option_checks, training_share
from embedrun_plugins.stages.trainers.flag import groups as flag_groups
from embedrun_plugins.stages.trainers.flag.options import FlagOptions
from embedrun_plugins.stages.trainers.rehearsal import GROUP, STEPS, fewer

if TYPE_CHECKING:
    from embedrun.context import Context
    from embedrun.stages import Column, Evaluator, Loss

_ELSEWHERE = {
    "num_train_epochs": "is called 'epochs' here",
    "per_device_train_batch_size": "is called 'batch_size' here",
    "query_max_len": "is called 'query_max_length' here",
    "passage_max_len": "is called 'passage_max_length' here",
    "warmup_ratio": "is called 'warmup_steps' here, a share if below 1",
    "nproc_per_node": "is called 'processes' here",
    "temperature": "is the loss's: loss: {type: info_nce, temperature: 0.02}",
    "negatives_cross_device": "is the loss's 'gather_across_devices'",
    "query_instruction_for_retrieval": "is the model's prompt: model: {id: …, prompts: {query: …}}",
    "passage_instruction_for_retrieval": "is the model's prompt: model: {id: …, prompts: {document: …}}",
    "query_instruction_format": "is not needed: the model's prompt goes before the text as it stands",
    "sentence_pooling_method": "is the model's 'pooling'",
    "normalize_embeddings": "is the model's 'normalize'",
    "same_dataset_within_batch": "has no meaning here: a recipe trains on one set",
}
"""FlagEmbedding's arguments that a recipe gives otherwise."""
# fmt: off
_TAKEN = frozenset((
    "output_dir", "train_data", "model_name_or_path", "seed", "data_seed", "use_cpu", "disable_tqdm",
    "resume_from_checkpoint", "ignore_data_skip", "save_total_limit", "save_only_model", "logging_strategy",
    "deepspeed", "fsdp", "fsdp_config", "push_to_hub", "remove_unused_columns", "do_train", "eval_strategy",
    "load_best_model_at_end", "accelerator_config", "dataloader_persistent_workers",
))
"""Arguments that the trainer sets itself, or that it cannot honour."""
# fmt: on
_JUDGED = ("reduce_lr_on_plateau", "greedy")


class FlagEmbedding(FlagOptions):
    """Fine-tune with FlagEmbedding's own encoder-only runner, in as many processes as there are GPUs.

    Each row is a query with one of its answers and `train_group_size` - 1 of its negatives, drawn anew in every epoch;
    the batch's other passages are negatives, too. Queries without negatives get random ones. The loss is `info_nce`.
    Prompts, pooling and normalisation are the model's, and the result is a complete sentence-transformers model. Goes
    on from its last checkpoint after it was killed, and gives the same weights as if it had not been.
    """

    type: Literal["flag_embedding"] = "flag_embedding"
    packages: ClassVar[Mapping[str, str]] = {"FlagEmbedding": "flag"}

    @model_validator(mode="before")
    @classmethod
    def _say_where(cls, value: Any) -> Any:
        """Say where a recipe gives what FlagEmbedding takes as an argument."""
        extra = value.get("extra") if isinstance(value, Mapping) else None
        for name in (*value, *(extra if isinstance(extra, Mapping) else ())) if isinstance(value, Mapping) else ():
            if name in _ELSEWHERE:
                raise ValueError(f"'{name}' {_ELSEWHERE[name]}")
        return value

    def run(self, ctx: Context, data: RetrievalSet, model: Model, loss: Loss, dev: Evaluator | None) -> Model:
        del dev
        if not isinstance(loss, InfoNce):
            raise UserError(f"trainer: {self.refuses(loss)}")
        from embedrun_plugins.models import cut_texts
        from embedrun_plugins.stages.trainers.flag.flag_run import FlagTraining

        data = training_share.shared(ctx, data, self.share)
        for warning in cut_texts.warnings(model, data):
            ctx.warn(warning)
        return FlagTraining(self, ctx, data, model, loss).run()

    def rehearsal(self, rehearsal: Rehearsal) -> FlagEmbedding:
        """Return the trainer for two steps in one process on the CPU."""
        saved = {"save_strategy": "steps", "save_steps": STEPS} if self.save_strategy != "no" else {}
        group = min(self.train_group_size, GROUP)
        if group < self.train_group_size:
            rehearsal.note(f"train_group_size: {group} in place of {self.train_group_size}")
        few = fewer(self, rehearsal)
        return changed(self, **few, **saved, train_group_size=group, save_min_seconds=0.0, dataloader_drop_last=False)

    def columns_needed(self) -> frozenset[Column]:
        return frozenset({"negative", "teacher_score"} if self.knowledge_distillation else ())

    def refuses(self, loss: Loss) -> str | None:
        if isinstance(loss, InfoNce):
            return None
        return (
            f"FlagEmbedding has a loss of its own, so 'flag_embedding' cannot train with '{loss.type}'; use "
            "loss: {type: info_nce, temperature: 0.02}, or the trainer sentence_transformers"
        )

    def faults(self) -> Iterable[str]:
        yield from option_checks.schedule(self)
        if self.lr_scheduler_type in _JUDGED:
            yield f"lr_scheduler_type: '{self.lr_scheduler_type}' needs evaluations, which FlagEmbedding does not make"
        if self.fp16 and self.bf16:
            yield "fp16: cannot be used together with bf16"
        if self.save_strategy == "steps" and self.save_steps is None:
            yield "save_strategy: 'steps' needs save_steps"
        if self.save_strategy != "steps" and self.save_steps is not None:
            yield f"save_steps: has no effect while save_strategy is '{self.save_strategy}'; set it to 'steps'"
        yield from option_checks.whole_steps(save_steps=self.save_steps, logging_steps=self.logging_steps)
        if self.train_group_size == 1 and self.batch_size == 1:
            yield "batch_size: a batch of 1 query without negatives has nothing to learn from; raise it"
        if self.knowledge_distillation and self.train_group_size == 1:
            yield "knowledge_distillation: needs negatives; set train_group_size to 2 or more"
        for name in self.extra:
            if name in type(self).model_fields:
                yield f"extra.{name}: is an option of the trainer itself; set trainer.{name}"
            elif name in _TAKEN:
                yield f"extra.{name}: cannot be set; the trainer does"

    def forecast(self, data: RetrievalSet | None, loss: Loss | None = None) -> Mapping[str, object]:
        """Say how many rows and steps there are; where `processes` is not set, steps are those of one process."""
        del loss
        if data is None:
            return {}
        groups = flag_groups.make(data, group_size=self.train_group_size, distil=self.knowledge_distillation, seed=42)
        count = max(1, round(len(groups) * (self.share or 1)))
        return {
            "rows": count,
            "negatives per row": self.train_group_size - 1,
            **groups.notes,
            "optimizer steps": self._steps(count),
            "largest batch": min(self.batch_size, count),
        }

    def _steps(self, count: int) -> int:
        """Return transformers' own count: the last, smaller batch counts, and what is left of an accumulation, too."""
        if self.max_steps:
            return self.max_steps
        whole = math.floor if self.dataloader_drop_last else math.ceil
        batches = whole(whole(count / self.batch_size) / (self.processes or 1))
        return math.ceil(self.epochs * max(1, math.ceil(batches / self.gradient_accumulation_steps)))
