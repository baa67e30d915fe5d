"""What is wrong with a trainer's options beyond each field by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from embedrun_plugins.stages.trainers.training_options import TrainingOptions

RENAMED = {"num_train_epochs": "epochs", "per_device_train_batch_size": "batch_size", "warmup_ratio": "warmup_steps"}
"""Arguments that have another name here."""
# fmt: off
TAKEN = (
    "output_dir", "seed", "data_seed", "prompts", "router_mapping", "use_cpu", "disable_tqdm", "remove_unused_columns",
    "resume_from_checkpoint", "activation_checkpointing", "activation_checkpointing_kwargs", "save_only_model",
    "ignore_data_skip", "logging_strategy", "accelerator_config",
)
"""Arguments that the trainer sets itself."""
# fmt: on
UNSUPPORTED = ("push_to_hub", "deepspeed", "fsdp", "fsdp_config", "parallelism_config", "neftune_noise_alpha")
"""Arguments that it cannot honour."""
_NEEDED_ARGUMENTS = {
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("num_decay_steps",),
}


def faults(options: TrainingOptions) -> Iterable[str]:
    """Say what does not go together; imports nothing heavy."""
    yield from schedule(options)
    yield from _strategies(options)
    yield from _best(options)
    yield from _exclusive(options)
    yield from _extra(options)


class Scheduled(Protocol):
    """Options of how the learning rate changes."""

    @property
    def lr_scheduler_type(self) -> str: ...
    @property
    def lr_scheduler_kwargs(self) -> Mapping[str, Any]: ...
    @property
    def warmup_steps(self) -> float: ...
    @property
    def max_steps(self) -> int | None: ...


def schedule(options: Scheduled) -> Iterable[str]:
    """Say what does not go together in how the learning rate changes."""
    needed = _NEEDED_ARGUMENTS.get(options.lr_scheduler_type)
    if needed and not set(needed) & set(options.lr_scheduler_kwargs):
        yield f"lr_scheduler_kwargs: '{options.lr_scheduler_type}' needs {' or '.join(needed)}"
    yield from whole_steps(warmup_steps=options.warmup_steps)
    if options.max_steps and options.warmup_steps >= options.max_steps:
        yield f"warmup_steps: {options.warmup_steps:g} leave nothing of the {options.max_steps} steps"


def whole_steps(**options: float | None) -> Iterable[str]:
    """Say which numbers of steps are neither whole nor a share of all steps."""
    for name, steps in options.items():
        if steps is not None and steps > 1 and steps != int(steps):
            yield f"{name}: must be a whole number of steps, or a share below 1"


def _strategies(options: TrainingOptions) -> Iterable[str]:
    for name, steps in (("eval", options.eval_steps), ("save", options.save_steps)):
        strategy = getattr(options, f"{name}_strategy")
        if strategy == "steps" and steps is None:
            yield f"{name}_strategy: 'steps' needs {name}_steps"
        if strategy != "steps" and steps is not None:
            yield f"{name}_steps: has no effect while {name}_strategy is '{strategy}'; set it to 'steps'"
        yield from whole_steps(**{f"{name}_steps": steps})
    yield from whole_steps(logging_steps=options.logging_steps)


def _best(options: TrainingOptions) -> Iterable[str]:
    plateau = options.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy")
    watching = {
        "load_best_model_at_end": options.load_best_model_at_end,
        "save_strategy: best": options.save_strategy == "best",
        "early_stopping_patience": options.early_stopping_patience is not None,
        f"lr_scheduler_type: {options.lr_scheduler_type}": plateau,
    }
    for name in (name for name, on in watching.items() if on):
        if options.eval_strategy == "no":
            yield f"{name} needs evaluations; set eval_strategy to epoch or steps"
        if options.metric_for_best_model is None:
            yield f"{name} needs metric_for_best_model, for example ndcg@10"
    if options.metric_for_best_model is not None and not any(watching.values()):
        yield "metric_for_best_model: has no effect without load_best_model_at_end or early_stopping_patience"
    if options.load_best_model_at_end and options.eval_strategy != "no":
        yield from _saved_when_evaluated(options)


def _saved_when_evaluated(options: TrainingOptions) -> Iterable[str]:
    if options.save_strategy not in (options.eval_strategy, "best"):
        yield (
            f"load_best_model_at_end: save_strategy must be '{options.eval_strategy}' as eval_strategy is, or 'best', "
            f"not '{options.save_strategy}'"
        )
    elif options.save_strategy == "steps" and options.save_steps and options.eval_steps:
        times = options.save_steps / options.eval_steps
        if (options.save_steps < 1) != (options.eval_steps < 1) or abs(times - round(times)) > 1e-6:  # noqa: PLR2004 - rounding
            yield "save_steps: must be a multiple of eval_steps, so that the best model is among the saved ones"


def _exclusive(options: TrainingOptions) -> Iterable[str]:
    if options.bf16 and options.fp16:
        yield "fp16 and bf16: only one can be on"
    if options.gradient_checkpointing_kwargs and not options.gradient_checkpointing:
        yield "gradient_checkpointing_kwargs: has no effect without gradient_checkpointing"
    if (
        options.dataloader_prefetch_factor or options.dataloader_persistent_workers
    ) and not options.dataloader_num_workers:
        yield "dataloader_num_workers: is 0, so there is no worker to prefetch or to persist"
    if options.eval_strategy == "no" and (options.eval_on_start or options.eval_delay):
        yield "eval_on_start and eval_delay have no effect while eval_strategy is 'no'"


def _extra(options: TrainingOptions) -> Iterable[str]:
    for name in options.extra:
        if name in RENAMED:
            yield f"extra.{name}: is the trainer's own key '{RENAMED[name]}'; set it there"
        elif name in type(options).model_fields:
            yield f"extra.{name}: is a key of the trainer; set it there"
        elif name in TAKEN:
            yield f"extra.{name}: is set by embedrun and cannot be changed"
        elif name in UNSUPPORTED:
            yield f"extra.{name}: is not supported by this trainer"
