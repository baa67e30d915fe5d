"""What a user can set of fine-tuning with sentence-transformers; names and meanings are its own arguments'."""

from __future__ import annotations

from abc import ABC
from typing import Annotated, Any, Literal

from pydantic import Field

from embedrun.artifacts import Split
from embedrun.context import Unkeyed
from embedrun.stages import Trainer
from embedrun_plugins.stages.trainers.lora import Lora
from embedrun_plugins.stages.trainers.training_share import whole

# fmt: off
Scheduler = Literal[
    "linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "polynomial",
    "constant", "constant_with_warmup", "inverse_sqrt", "warmup_stable_decay", "reduce_lr_on_plateau", "greedy",
]
Optimizer = Literal[
    "adamw_torch", "adamw_torch_fused", "adamw_torch_4bit", "adamw_torch_8bit", "adamw_8bit", "adamw_anyprecision",
    "paged_adamw_32bit", "paged_adamw_8bit", "stable_adamw", "grokadamw", "adafactor", "adagrad", "ademamix",
    "ademamix_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit", "lion_32bit", "lion_8bit", "paged_lion_32bit",
    "paged_lion_8bit", "rmsprop", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit", "sgd", "schedule_free_adamw",
    "schedule_free_radam", "schedule_free_sgd", "galore_adamw", "galore_adamw_8bit", "galore_adafactor", "apollo_adamw",
]
Tracker = Literal[
    "tensorboard", "wandb", "mlflow", "trackio", "comet_ml", "neptune", "clearml", "codecarbon", "dagshub", "dvclive",
    "azure_ml", "flyte", "swanlab",
]
# fmt: on


class TrainingOptions(Trainer, ABC):
    """All options of sentence-transformers' trainer that a recipe may set."""

    # Batches, and how long to train.

    epochs: float = Field(1, gt=0)
    """How often every row is seen."""
    max_steps: int | None = Field(None, ge=1)
    """Optimizer steps, in place of `epochs`."""
    share: float | None = Field(None, gt=0, le=1, exclude_if=whole)
    """Share of the training queries that is trained on, by whole independent units: queries about one passage, or near
    copies of it, stay together. Smaller shares are parts of larger ones. `embedrun curve` sets it."""
    batch_size: int = Field(32, ge=1)
    """Rows in a batch, on each device. With in-batch negatives, larger is better: each row learns from the others."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches whose gradients make one step. In-batch negatives do not reach across them; cached losses do that."""
    negatives_per_query: int | None = Field(None, ge=0)
    """Most of the set's negatives used for each query, best-ranked first; by default all. Where rows need the same
    number and a query has fewer, others' passages are drawn at random for it."""
    batch_sampler: Literal["batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label"] | None = None
    """How rows are put into batches. By default what the loss needs: `no_duplicates` for in-batch negatives, so that no
    text is its own negative, `group_by_label` for mined triplets, else `batch_sampler` (at random). The hashed one
    makes the same batches faster, with more memory."""
    processes: int = Field(1, ge=1)
    """Processes that train together, each with batches of `batch_size` of its own, on a GPU each or all on the CPU.
    Whether their batches are compared with each other is the loss's `gather_across_devices`."""
    dataloader_drop_last: bool = False
    """Whether an epoch's last batch is dropped if it is smaller; always so when several processes train."""
    dataloader_num_workers: Annotated[int, Unkeyed] = Field(0, ge=0)
    """Processes that tokenize; 0 for none beside the training itself."""
    dataloader_prefetch_factor: Annotated[int | None, Unkeyed] = Field(None, ge=1)
    """Batches that each of them prepares ahead."""
    dataloader_persistent_workers: Annotated[bool, Unkeyed] = False
    """Whether they live on after an epoch."""
    dataloader_pin_memory: Annotated[bool, Unkeyed] = True
    """Whether batches are put where a GPU reads them fastest."""

    # Optimizer, schedule and regularisation.

    learning_rate: float = Field(2e-5, gt=0)
    """Highest learning rate. 2e-5 suits most encoders; LoRA wants 1e-4 and more."""
    lr_scheduler_type: Scheduler = "linear"
    """How the learning rate changes after the warm-up."""
    lr_scheduler_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the schedule, such as {min_lr: 1e-6}."""
    warmup_steps: float = Field(0.1, ge=0)
    """Steps in which the learning rate rises from 0; a share of all steps if below 1."""
    learning_rate_mapping: dict[str, float] = Field(default_factory=dict)
    """Learning rates of their own for parameters whose name a regular expression finds."""
    optim: Optimizer = "adamw_torch_fused"
    """Optimizer; some need a package of their own."""
    optim_args: str | None = None
    """Further arguments of the optimizer, as "name=value,name=value"."""
    optim_target_modules: str | tuple[str, ...] | None = None
    """Layers that GaLore and APOLLO optimise."""
    weight_decay: float = Field(0.0, ge=0)
    """Decay of weights; biases and normalisation layers are left out."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW's decay of the gradient's mean."""
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    """AdamW's decay of its square."""
    adam_epsilon: float = Field(1e-8, gt=0)
    """AdamW's epsilon."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients longer than this are cut to it; 0 for no limit."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Dropout of all the model's layers while it is trained; by default each layer's own."""
    lora: Lora | None = None
    """Train small matrices in place of all weights. The result is a complete model all the same."""

    # Precision, memory and several devices.

    grouping: Literal["auto", "off"] = "auto"
    """Whether a batch is embedded in parts of like length, or without padding where that can be, and joined again
    before the loss: several times as fast where lengths differ. The loss is the same but for rounding; what dropout
    draws differs, so results do, too. `off` pads every batch to its longest text, as sentence-transformers does."""
    bf16: bool = False
    """Mixed precision with bfloat16. Faster on GPUs since Ampere, with about half the memory."""
    fp16: bool = False
    """Mixed precision with float16, for older GPUs."""
    tf32: bool | None = None
    """Whether matrices are multiplied in TF32 on GPUs since Ampere; by default what torch does."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again instead of kept: less memory, about 1.3 times the time."""
    gradient_checkpointing_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of it, such as {use_reentrant: false}."""
    torch_compile: bool = False
    """Whether the model is compiled; pays off in long runs on a GPU."""
    torch_compile_backend: str | None = None
    """Its backend; by default inductor."""
    torch_compile_mode: str | None = None
    """Its mode, such as max-autotune."""
    torch_empty_cache_steps: Annotated[int | None, Unkeyed] = Field(None, ge=1)
    """Steps after which the GPU's cached memory is freed, each time; slower, for less memory."""
    full_determinism: bool = False
    """Whether a GPU, too, gives the same bits every time. On a CPU it is always so, and costs nothing. On a GPU it
    costs speed (torch: "deterministic operations tend to have worse performance"; how much depends on model and GPU),
    some 24 MiB of memory, and training stops where torch has no such algorithm. Bits are the same on an equal GPU with
    the same driver and versions."""
    ddp_backend: Annotated[Literal["nccl", "gloo", "mpi", "xccl", "hccl"] | None, Unkeyed] = None
    """How processes talk when several train together; by default NCCL on GPUs, gloo on a CPU."""
    ddp_find_unused_parameters: Annotated[bool | None, Unkeyed] = None
    """Whether parameters without gradients are looked for in each step when several processes train."""
    ddp_bucket_cap_mb: Annotated[int | None, Unkeyed] = Field(None, ge=1)
    """Megabytes of gradients that they exchange at once."""
    ddp_timeout: Annotated[int, Unkeyed] = Field(1800, ge=1)
    """Seconds that they wait for each other."""

    # Evaluation during training, and which checkpoint is the result.

    eval_strategy: Literal["no", "steps", "epoch"] = "no"
    """When the model is scored during training, by the recipe's first evaluator; without one, by its loss."""
    eval_steps: float | None = Field(None, gt=0)
    """Steps between evaluations for `steps`; a share of all steps if below 1."""
    eval_delay: float = Field(0, ge=0)
    """Epochs or steps, as in `eval_strategy`, before the first evaluation."""
    eval_on_start: bool = False
    """Whether the model is scored before training, too."""
    eval_split: Split = "dev"
    """Split that it is scored on. Choosing by the test split would make its scores worthless."""
    load_best_model_at_end: bool = False
    """Whether the result is the best checkpoint instead of the last."""
    metric_for_best_model: str | None = None
    """What is best, as the evaluator names it: "ndcg@10", "dim_128_ndcg@10"; or "loss", computed on `eval_split`."""
    greater_is_better: bool | None = None
    """Whether more of it is better; by default so unless it is a loss."""
    early_stopping_patience: int | None = Field(None, ge=1)
    """Stop after so many evaluations without a better `metric_for_best_model`."""
    early_stopping_threshold: float = Field(0.0, ge=0)
    """How much better counts as better for that."""

    # Checkpoints, logs and everything else.

    save_strategy: Literal["no", "steps", "epoch", "best"] = "epoch"
    """When a checkpoint is made, from which training goes on after it was killed."""
    save_steps: float | None = Field(None, gt=0)
    """Steps between checkpoints for `steps`; a share of all steps if below 1."""
    save_total_limit: Annotated[int, Unkeyed] = Field(1, ge=1)
    """Checkpoints kept, beside the best one."""
    save_min_seconds: Annotated[float, Unkeyed] = Field(60.0, ge=0)
    """No checkpoint sooner than this after the last one, unless the best is chosen among them; they cost time."""
    logging_steps: float = Field(10, gt=0)
    """Steps between entries of the loss curve; a share of all steps if below 1. Part of the model's
    `training_history.json`."""
    logging_first_step: bool = False
    """Whether the first step is an entry, too."""
    report_to: Annotated[tuple[Tracker, ...], Unkeyed] = ()
    """Experiment trackers that get the loss curve; each needs its package and its own environment variables."""
    run_name: Annotated[str | None, Unkeyed] = None
    """Name that the trackers show."""
    project: Annotated[str | None, Unkeyed] = None
    """Project of the trackers that have projects."""
    logging_dir: Annotated[str, Unkeyed] = "tensorboard"
    """Folder that TensorBoard's files are written to, from the current folder."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Any other argument of sentence-transformers' SentenceTransformerTrainingArguments, by its own name."""

    @property
    def judges_by_loss(self) -> bool:
        """Whether the best model is the one with the lowest loss on `eval_split`."""
        return self.metric_for_best_model in ("loss", "eval_loss")
