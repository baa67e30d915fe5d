"""What the rehearsals of both trainers share: few steps, small batches, the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Protocol

from embedrun.rehearsal import Rehearsal

STEPS = 2
_BATCH = 4
GROUP = 4
"""Passages of a query in FlagEmbedding's rows."""
_ON_GPU: Mapping[str, Any] = {"fp16": False, "bf16": False, "tf32": None, "torch_compile": False}
ON_GPU_EXTRA = ("bf16_full_eval", "fp16_full_eval", "jit_mode_eval", "use_liger_kernel")
_OPTIMIZERS_OF = ("bitsandbytes", "torchao")
"""Packages whose optimizers run on a GPU only."""


class Trains(Protocol):
    """What both trainers can be told of how long to train."""

    @property
    def epochs(self) -> float: ...
    @property
    def max_steps(self) -> int | None: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def gradient_accumulation_steps(self) -> int: ...
    @property
    def warmup_steps(self) -> float: ...


def fewer(stage: Trains, rehearsal: Rehearsal) -> dict[str, Any]:
    """Return what makes training short and leaves out what needs a GPU, and tell of it."""
    length = f"{stage.max_steps:,} steps" if stage.max_steps else f"{stage.epochs:g} epochs"
    rehearsal.note(f"{STEPS} steps in place of {length}")
    values: dict[str, Any] = {
        "batch_size": min(stage.batch_size, _BATCH),
        "gradient_accumulation_steps": min(stage.gradient_accumulation_steps, STEPS),
        "processes": 1,
    }
    for name, value in values.items():
        if getattr(stage, name) not in (value, None):
            rehearsal.note(f"{name}: {value} in place of {getattr(stage, name)}")
    left_out = {name: off for name, off in _ON_GPU.items() if getattr(stage, name, None)}
    if left_out:
        rehearsal.note(f"{', '.join(left_out)} left out, since this is rehearsed on the CPU")
    return {
        **values,
        **left_out,
        "max_steps": STEPS,
        "warmup_steps": min(stage.warmup_steps, 1),
        "logging_steps": 1,
        "dataloader_num_workers": 0,
    }


def on_cpu(optimizer: str, rehearsal: Rehearsal) -> str:
    """Return an optimizer that runs on a CPU; one whose package is missing stays, to be refused as in a run."""
    needs_gpu = optimizer.endswith(("bit", "bnb")) or "paged" in optimizer
    if not needs_gpu or not any(find_spec(package) for package in _OPTIMIZERS_OF):
        return optimizer
    rehearsal.note(f"optim: adamw_torch in place of {optimizer}, which needs a GPU")
    return "adamw_torch"
