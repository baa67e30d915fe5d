"""What a user can set of fine-tuning with FlagEmbedding."""

from __future__ import annotations

from abc import ABC
from typing import Annotated, Any, Literal

from pydantic import Field

from embedrun.context import Unkeyed
from embedrun.stages import Trainer
from embedrun_plugins.stages.trainers.training_options import Scheduler
from embedrun_plugins.stages.trainers.training_share import whole


class FlagOptions(Trainer, ABC):
    """All options of FlagEmbedding's runner that a recipe may set."""

    epochs: float = Field(1, gt=0)
    """How often every query is seen."""
    max_steps: int | None = Field(None, ge=1)
    """Optimizer steps, in place of `epochs`."""
    share: float | None = Field(None, gt=0, le=1, exclude_if=whole)
    """Share of the training queries that is trained on, by whole independent units: queries about one passage, or near
    copies of it, stay together. Smaller shares are parts of larger ones. `embedrun curve` sets it."""
    batch_size: int = Field(32, ge=1)
    """Queries in a batch, on each device. Each learns from the others' passages, so larger is better."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches whose gradients make one step. In-batch negatives do not reach across them."""
    train_group_size: int = Field(2, ge=1)
    """Passages read for each query: one answer, the rest negatives. 1 learns from the batch's other passages alone."""
    query_max_length: int = Field(256, ge=2)
    """Tokens read of a query, its prompt among them; never more than the model reads."""
    passage_max_length: int = Field(256, ge=2)
    """Tokens read of a passage, its prompt among them; never more than the model reads."""
    pad_to_multiple_of: int | None = Field(None, ge=1)
    """Batches are padded to a multiple of so many tokens; 8 may be faster on GPUs in 16 bits."""
    learning_rate: float = Field(1e-5, gt=0)
    """Highest learning rate."""
    lr_scheduler_type: Scheduler = "linear"
    """How the learning rate changes after the warm-up."""
    lr_scheduler_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the schedule, such as {min_lr: 1e-6}."""
    warmup_steps: float = Field(0.1, ge=0)
    """Steps in which the learning rate rises from 0; a share of all steps if below 1."""
    weight_decay: float = Field(0.0, ge=0)
    """Decay of weights; biases and normalisation layers are left out."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients longer than this are cut to it; 0 for no limit."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Dropout of all the model's layers while it is trained; by default each layer's own."""
    knowledge_distillation: bool = False
    """Whether a teacher's scores of answers and negatives are learned, too; the set must hold them."""
    kd_loss_type: Literal["kl_div", "m3_kd_loss"] = "kl_div"
    """How they are: cross-entropy with the teacher's softmax over the group, beside the loss itself; or as for BGE-M3,
    over the batch, in its place."""
    fp16: bool = False
    """Mixed precision with float16; needs a GPU."""
    bf16: bool = False
    """Mixed precision with bfloat16. Faster on GPUs since Ampere, with about half the memory."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again instead of kept: less memory, about 1.3 times the time."""
    sub_batch_size: int | None = Field(None, ge=1)
    """Texts that are embedded at a time, for less padding; by default the whole batch. It saves no memory."""
    processes: int | None = Field(None, ge=1)
    """Processes that train together, each on a GPU of its own, or all on the CPU; by default one for each GPU. Whether
    their batches are compared with each other is the loss's `gather_across_devices`."""
    dataloader_drop_last: bool = False
    """Whether an epoch's last batch is dropped if it is smaller."""
    dataloader_num_workers: Annotated[int, Unkeyed] = Field(0, ge=0)
    """Processes that tokenize; 0 for none beside the training itself."""
    save_strategy: Literal["no", "steps", "epoch"] = "epoch"
    """When a checkpoint is made, from which training goes on after it was killed."""
    save_steps: float | None = Field(None, gt=0)
    """Steps between checkpoints for `steps`; a share of all steps if below 1."""
    save_min_seconds: Annotated[float, Unkeyed] = Field(60.0, ge=0)
    """No checkpoint sooner than this after the last one; they cost time."""
    logging_steps: float = Field(10, gt=0)
    """Steps between entries of the loss curve; a share of all steps if below 1. Part of the model's
    `training_history.json`."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Any other argument of transformers' TrainingArguments, by its own name, and of FlagEmbedding's
    fix_position_embedding, use_mrl, mrl_dims and shuffle_ratio."""
