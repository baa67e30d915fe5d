"""One training as it is written down for FlagEmbedding's processes: a recipe's options by the runner's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun_plugins.services.distributed.launch import JobFile

if TYPE_CHECKING:
    from embedrun.artifacts import Role
    from embedrun.model_settings import ModelSettings
    from embedrun_plugins.stages.losses.ranking import InfoNce
    from embedrun_plugins.stages.trainers.flag.options import FlagOptions
    from embedrun_plugins.stages.trainers.flag.pooling import Encoding

OWN = frozenset({"fix_position_embedding", "use_mrl", "mrl_dims", "shuffle_ratio"})
"""FlagEmbedding's own arguments that `extra` may give, beside those of transformers."""
FILE, ROWS, MODEL, OUTPUT, VECTORS = "job.json", "train.jsonl", "model", "output", "output/samples/vectors.safetensors"
"""Names in the folder that the processes run in, which may be copied to other machines."""
_OF_DATA = frozenset({"shuffle_ratio"})
# fmt: off
_SAME_NAME = (
    "learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay", "max_grad_norm",
    "fp16", "bf16", "gradient_accumulation_steps", "gradient_checkpointing", "sub_batch_size", "kd_loss_type",
    "dataloader_drop_last", "dataloader_num_workers", "save_strategy", "logging_steps",
)
# fmt: on


@dataclass(frozen=True)
class FlagJob(JobFile):
    """What a process is told: FlagEmbedding's own arguments by its names, and what it has no argument for."""

    model: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    normalize: bool
    """Whether the model's own vectors are normalised."""
    max_length: int | None = None
    """Tokens that the model itself reads of a text."""
    attention: str | None = None
    dropout: float | None = None
    save_min_seconds: float = 60.0
    samples: dict[str, list[str]] = field(default_factory=dict)
    """Texts by role, whose vectors are left in `vectors` to be compared."""
    vectors: str = ""

    @property
    def output(self) -> Path:
        return Path(self.training["output_dir"])


@dataclass(frozen=True)
class JobWriter:
    """What a job is made from: the recipe's options and loss, the model, and where it is trained."""

    options: FlagOptions
    loss: InfoNce
    settings: ModelSettings
    encoding: Encoding
    seed: int
    on_cpu: bool
    processes: int

    def job(self, samples: Mapping[Role, list[str]]) -> FlagJob:
        """Return the job; `samples` are texts whose vectors are compared afterwards."""
        return FlagJob(
            model={
                "model_name_or_path": MODEL,
                "trust_remote_code": self.settings.trust_remote_code,
                # By default HF_TOKEN, which FlagEmbedding would write to its log.
                "token": None,
            },
            data=self._data(),
            training=self._training(),
            normalize=self.encoding.normalize,
            max_length=self.encoding.max_length,
            attention=self.settings.attention,
            dropout=self.options.dropout,
            save_min_seconds=self.options.save_min_seconds,
            samples={str(role): list(texts) for role, texts in samples.items()},
            vectors=VECTORS,
        )

    def _data(self) -> dict[str, Any]:
        options, encoding = self.options, self.encoding
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

    def _training(self) -> dict[str, Any]:
        options, loss, distributed = self.options, self.loss, self.processes > 1
        return {
            **{name: getattr(options, name) for name in _SAME_NAME},
            "num_train_epochs": options.epochs,
            "max_steps": options.max_steps or -1,
            "per_device_train_batch_size": options.batch_size,
            "gradient_checkpointing_kwargs": {"use_reentrant": False} if options.gradient_checkpointing else None,
            **({"save_steps": options.save_steps} if options.save_steps else {}),
            "report_to": "none",
            **{name: value for name, value in options.extra.items() if name not in _OF_DATA},
            "output_dir": OUTPUT,
            "temperature": loss.temperature,
            "negatives_cross_device": loss.gather_across_devices and distributed,
            "sentence_pooling_method": self.encoding.pooling,
            "normalize_embeddings": self.encoding.normalize or loss.similarity_fct == "cos_sim",
            "seed": self.seed,
            "data_seed": self.seed,
            "use_cpu": self.on_cpu,
            "logging_strategy": "steps",
            "disable_tqdm": True,
            **({"ddp_backend": "gloo"} if self.on_cpu and distributed else {}),
        }


def limit(options: FlagOptions, role: Role, encoding: Encoding) -> int:
    """Return how many tokens are read of a text: never more than the model reads."""
    wanted = options.query_max_length if role == "query" else options.passage_max_length
    return min(wanted, encoding.max_length or wanted)
