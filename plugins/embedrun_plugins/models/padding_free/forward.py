"""A batch embedded in parts with little or no padding, joined again before the loss sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from torch import Tensor
from torch.nn import functional

from embedrun_plugins.models.padding_free import length_groups, ragged_attention
from embedrun_plugins.models.padding_free.replaced_forward import replaced_forward

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Strategy = Literal["flash", "ragged", "groups"]
"""How padding is avoided: by flash-attention, by attention in blocks on a CPU, or by groups of like length."""
Features = dict[str, Any]

EMBEDDED = "joined_embedding"
"""Key of vectors that were made before the loss, with those of the batch's other columns."""
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
_KNOWN = {*TOKENS, "modality", "prompt_length"}
_OVERHEAD = {"cpu": 16.0, "cuda": 4096.0}
"""What a further group costs, in tokens, forward and backward: measured on a CPU, an estimate on a GPU."""
_TOKENS_AT_A_TIME = {True: 3072, False: 1024}
"""On a CPU, in training and in evaluation; more do not fit its caches, and fewer multiply slower."""


def strategy(model: SentenceTransformer) -> Strategy | None:
    """Return how padding can be avoided for this model on its device; None where it cannot."""
    first = model[0]
    if not isinstance(first, Transformer) or first.tokenizer is None or "message" in first.modality_config:
        return None
    config: Any = first.config
    if counts_positions_from_padding(first):
        return None
    by_token = all(isinstance(module, (Pooling, Dense, Normalize)) for module in list(model)[1:])
    if by_token and first.can_flatten_inputs:
        return "flash"
    plain = config.model_type in ragged_attention.MODEL_TYPES and not getattr(config, "is_decoder", False)
    usual = config._attn_implementation in ("sdpa", ragged_attention.NAME)  # noqa: SLF001 - it has no public name
    if by_token and plain and usual and model.device.type == "cpu":
        return "ragged"
    return "groups"


def counts_positions_from_padding(transformer: Any) -> bool:
    """Say whether a text's positions would be others without the padding before it."""
    return bool(transformer.tokenizer.padding_side != "right" and not hasattr(transformer.config, "rope_parameters"))


@contextmanager
def padding_free_training(model: SentenceTransformer, chosen: Strategy) -> Iterator[None]:
    """Have a model that is being trained embed each batch in parts; evaluation goes its usual way."""
    with replaced_forward(model, _Forward(model, chosen, model.forward), ragged=chosen == "ragged"):
        yield


@contextmanager
def padding_free_encoding(model: SentenceTransformer) -> Iterator[bool]:
    """Have a model encode without padding on a CPU; tells whether it does, which depends on its architecture.

    Only `sentence_embedding` is made then. Vectors are the same but for rounding.
    """
    if strategy(model) != "ragged":
        yield False
        return
    with replaced_forward(model, _Forward(model, "ragged", model.forward, training=False), ragged=True):
        yield True


def concatenate(columns: Sequence[Features]) -> Features | None:
    """Return the columns' texts as one batch, or None where they must be embedded apart."""
    first = columns[0]
    if not _plain(first) or any(set(column) != set(first) for column in columns):
        return None
    if any(int(column.get("prompt_length", 0)) != int(first.get("prompt_length", 0)) for column in columns):
        return None
    width = max(column["input_ids"].shape[1] for column in columns)
    # Where texts are padded does not matter to `_Forward`, which reads the mask.
    merged = {
        key: torch.cat([functional.pad(ids, (0, width - ids.shape[1])) for ids in (column[key] for column in columns)])
        for key in first.keys() & set(TOKENS)
    }
    return {**first, **merged}


def _plain(features: Features) -> bool:
    """Say whether these are padded tokens and nothing else."""
    return {"input_ids", "attention_mask"} <= set(features) <= _KNOWN


@dataclass(frozen=True)
class _Forward:
    """Takes the place of a model's forward pass."""

    model: SentenceTransformer
    strategy: Strategy
    plain: Callable[..., Features]
    training: bool = True
    """Whether it works in training or in evaluation; in the other, the model goes its usual way."""

    def __call__(self, features: Features, **options: Any) -> Features:
        if EMBEDDED in features:
            return {**features, "sentence_embedding": features[EMBEDDED]}
        # `task` chooses a route in models that have routes, and these have none.
        if options.keys() - {"task"} or self.model.training is not self.training or not _plain(features):
            return self.plain(features, **options)
        return {**features, "sentence_embedding": self._embed(features)}

    def _embed(self, features: Features) -> Tensor:
        counts: list[int] = features["attention_mask"].sum(1).tolist()
        device = features["input_ids"].device
        parts = parts_of(counts, self.strategy, device.type, training=self.training)
        vectors: list[Tensor] = []
        for part in parts:
            rows = torch.tensor(part, device=device)
            selected = {key: value[rows] if key in TOKENS else value for key, value in features.items()}
            output = self.plain(self._without_padding(selected, [counts[row] for row in part]))
            vectors.append(output["sentence_embedding"])
        order = torch.tensor([row for part in parts for row in part], device=device)
        return torch.cat(vectors)[order.argsort()]

    def _without_padding(self, features: Features, counts: Sequence[int]) -> Features:
        if self.strategy == "groups":
            return trimmed(features)
        first: Any = self.model[0]
        return packed(features, counts, first._infer_flatten_position_offset())  # noqa: SLF001 - as it packs itself


def parts_of(counts: Sequence[int], strategy: str, device: str, *, training: bool) -> list[list[int]]:
    """Return the texts of a batch, by their tokens' counts, in parts that are computed at once."""
    if strategy == "groups":
        return length_groups.groups(counts, _OVERHEAD.get(device, _OVERHEAD["cuda"]))
    return length_groups.parts(counts, _TOKENS_AT_A_TIME[training] if device == "cpu" else max(1, sum(counts)))


def trimmed(features: Features) -> Features:
    """Cut off the columns that are padding in all rows."""
    used = features["attention_mask"].any(0)
    return {key: value[:, used] if key in TOKENS else value for key, value in features.items()}


def packed(features: Mapping[str, Any], counts: Sequence[int], first_position: int = 0) -> Features:
    """Lay texts one behind the other in a single row, as transformers' DataCollatorWithFlattening does."""
    mask = features["attention_mask"].bool()
    device = mask.device
    sizes = torch.tensor(counts, device=device)
    ends = functional.pad(sizes.cumsum(0), (1, 0))
    flat = {key: features[key][mask].unsqueeze(0) for key in TOKENS if key in features and key != "attention_mask"}
    total = sum(counts)
    starts = ends[:-1].repeat_interleave(sizes, output_size=total)
    bounds = ends.to(torch.int32)
    rest = {key: value for key, value in features.items() if key not in TOKENS}
    return {
        **rest,
        **flat,
        "position_ids": (torch.arange(total, device=device) - starts + first_position).unsqueeze(0),
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(counts),
        "max_length_k": max(counts),
    }
