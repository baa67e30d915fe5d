"""From a recipe's options to the arguments of FlagEmbedding's runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from embedrun_plugins.stages.trainers.flag.job import Job

if TYPE_CHECKING:
    from embedrun.artifacts import Role
    from embedrun_plugins.stages.trainers.flag.flag_run import Training
    from embedrun_plugins.stages.trainers.flag.pooling import Encoding
    from embedrun_plugins.stages.trainers.flag_embedding import FlagEmbedding

OWN = frozenset({"fix_position_embedding", "use_mrl", "mrl_dims", "shuffle_ratio"})
"""FlagEmbedding's own arguments that `extra` may give, beside those of transformers."""
FILE, ROWS, MODEL, OUTPUT, VECTORS = "job.json", "train.jsonl", "model", "output", "output/samples/vectors.safetensors"
"""Names in the folder that the processes run in, which may be copied to other machines."""
_OF_DATA = frozenset({"shuffle_ratio"})
_SAME_NAME = (
    *("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay", "max_grad_norm"),
    *("fp16", "bf16", "gradient_accumulation_steps", "gradient_checkpointing", "sub_batch_size", "kd_loss_type"),
    *("dataloader_drop_last", "dataloader_num_workers", "save_strategy", "logging_steps"),
)


def job(training: Training, encoding: Encoding, samples: Mapping[Role, list[str]]) -> Job:
    """Return what the processes are told."""
    options, settings = training.options, training.model.settings
    return Job(
        model={
            "model_name_or_path": MODEL,
            "trust_remote_code": settings.trust_remote_code,
            # By default HF_TOKEN, which FlagEmbedding would write to its log.
            "token": None,
        },
        data=_data(training, encoding),
        training=_of_options(options) | _of_run(training, encoding),
        normalize=encoding.normalize,
        max_length=encoding.max_length,
        attention=settings.attention,
        dropout=options.dropout,
        save_min_seconds=options.save_min_seconds,
        samples={str(role): list(texts) for role, texts in samples.items()},
        vectors=VECTORS,
    )


def limit(options: FlagEmbedding, role: Role, encoding: Encoding) -> int:
    """Return how many tokens are read of a text: never more than the model reads."""
    wanted = options.query_max_length if role == "query" else options.passage_max_length
    return min(wanted, encoding.max_length or wanted)


def _data(training: Training, encoding: Encoding) -> dict[str, Any]:
    options = training.options
    return {
        "train_data": [ROWS],
        "cache_path": "cache",
        "train_group_size": options.train_group_size,
        "query_max_len": limit(options, "query", encoding),
        "passage_max_len": limit(options, "document", encoding),
        "pad_to_multiple_of": options.pad_to_multiple_of,
        # Put before the text as it stands: FlagEmbedding's default format is "{}{}".
        "query_instruction_for_retrieval": encoding.prompts["query"] or None,
        "passage_instruction_for_retrieval": encoding.prompts["document"] or None,
        "knowledge_distillation": options.knowledge_distillation,
        **{name: value for name, value in options.extra.items() if name in _OF_DATA},
    }


def _of_options(options: FlagEmbedding) -> dict[str, Any]:
    return {
        **{name: getattr(options, name) for name in _SAME_NAME},
        "num_train_epochs": options.epochs,
        "max_steps": options.max_steps or -1,
        "per_device_train_batch_size": options.batch_size,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if options.gradient_checkpointing else None,
        **({"save_steps": options.save_steps} if options.save_steps else {}),
        "report_to": "none",
        **{name: value for name, value in options.extra.items() if name not in _OF_DATA},
    }


def _of_run(training: Training, encoding: Encoding) -> dict[str, Any]:
    loss, seed = training.loss, training.ctx.seed
    together = training.processes > 1
    return {
        "output_dir": OUTPUT,
        "temperature": loss.temperature,
        "negatives_cross_device": loss.gather_across_devices and together,
        "sentence_pooling_method": encoding.pooling,
        "normalize_embeddings": encoding.normalize or loss.similarity_fct == "cos_sim",
        "seed": seed,
        "data_seed": seed,
        "use_cpu": training.on_cpu,
        "logging_strategy": "steps",
        "disable_tqdm": True,
        **({"ddp_backend": "gloo"} if training.on_cpu and together else {}),
    }
