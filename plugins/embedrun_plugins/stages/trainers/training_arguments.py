"""From a recipe's options to sentence-transformers' training arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import SentenceTransformerTrainingArguments
from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

from embedrun.errors import UserError, suggest

if TYPE_CHECKING:
    from embedrun.stages import Rows
    from embedrun_plugins.stages.trainers.training_options import TrainingOptions

# fmt: off
_OWN = frozenset((
    "type", "epochs", "batch_size", "max_steps", "negatives_per_query", "batch_sampler", "dropout", "lora",
    "eval_split", "grouping", "full_determinism", "early_stopping_patience", "early_stopping_threshold",
    "gradient_checkpointing", "gradient_checkpointing_kwargs", "processes", "save_min_seconds", "save_total_limit",
    "logging_dir", "report_to", "extra", "share",
))
"""Options that are no arguments, or not by this name."""
# fmt: on
_KNOWN = frozenset(field.name for field in fields(SentenceTransformerTrainingArguments))
_SAMPLERS: Mapping[str, str] = {"pairs": "no_duplicates", "labelled_texts": "group_by_label"}
Arguments = type[SentenceTransformerTrainingArguments] | type[CrossEncoderTrainingArguments]


def sampler(options: TrainingOptions, rows: Rows) -> str:
    """Return how batches are made: as asked for, or as the rows need."""
    return options.batch_sampler or _SAMPLERS.get(rows, "batch_sampler")


def build(
    options: TrainingOptions,
    *,
    folder: Path,
    seed: int,
    device: str | None,
    rows: Rows,
    of: Arguments = SentenceTransformerTrainingArguments,
) -> Any:
    """Return the arguments; making them also joins the process group, when several processes train.

    Raises UserError where this machine or the installed versions cannot do what is asked for.
    """
    for name in options.extra:
        if name not in _KNOWN:
            raise UserError(f"trainer.extra.{name}: there is no such argument{suggest(name, _KNOWN)}")
    try:
        arguments = of(**_values(options, folder, seed, device, rows))
    except (ValueError, TypeError, ImportError, NotImplementedError) as error:
        raise UserError(f"trainer: {error}") from error
    # One process trains on one device: torch.nn.DataParallel, the default with several, is slower than torchrun.
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - as transformers' own Trainer does
    return arguments


def _values(options: TrainingOptions, folder: Path, seed: int, device: str | None, rows: Rows) -> dict[str, Any]:
    values = {k: v for k, v in options.model_dump(exclude=set(_OWN)).items() if v is not None}
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in _KNOWN else "gradient_checkpointing"
    cpu, several = on_cpu(device), options.processes > 1
    return {
        **({"ddp_backend": "gloo"} if cpu and several else {}),
        "per_device_eval_batch_size": options.batch_size,
        **values,
        **options.extra,
        "output_dir": str(folder),
        "num_train_epochs": options.epochs,
        "max_steps": options.max_steps or -1,
        "per_device_train_batch_size": options.batch_size,
        "batch_sampler": sampler(options, rows),
        "dataloader_drop_last": options.dataloader_drop_last or several,
        checkpointing: options.gradient_checkpointing,
        f"{checkpointing}_kwargs": options.gradient_checkpointing_kwargs or None,
        "report_to": list(options.report_to) or "none",
        "seed": seed,
        "data_seed": seed,
        "use_cpu": cpu,
        "disable_tqdm": True,
        "logging_strategy": "steps",
    }


def on_cpu(device: str | None) -> bool:
    """Say whether to train on the CPU. Raises UserError where the device is not here."""
    if device is None:
        return not torch.cuda.is_available() and not torch.backends.mps.is_available()
    wanted = torch.device(device)
    if wanted.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device '{device}': torch sees no CUDA device here")
    if wanted.index:
        raise UserError(
            f"device '{device}': to train on it, set CUDA_VISIBLE_DEVICES={wanted.index} and name no device"
        )
    return wanted.type == "cpu"
