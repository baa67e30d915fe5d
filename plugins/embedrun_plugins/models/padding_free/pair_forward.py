"""A batch of pairs scored in parts with little or no padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor

from embedrun_plugins.models.padding_free import ragged_attention
from embedrun_plugins.models.padding_free.forward import (
    TOKENS,
    Features,
    counts_positions_from_padding,
    packed,
    parts_of,
    trimmed,
)
from embedrun_plugins.models.padding_free.replaced_forward import replaced_forward

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

PairStrategy = Literal["ragged", "groups"]
"""How padding is avoided: by attention in blocks on a CPU, or by groups of like length."""


def _of_bert(model: Any, first: Tensor) -> Tensor:
    return model.classifier(model.dropout(model.bert.pooler(first)))  # type: ignore[no-any-return]


def _of_distilbert(model: Any, first: Tensor) -> Tensor:
    hidden = torch.relu(model.pre_classifier(first[:, 0]))
    return model.classifier(model.dropout(hidden))  # type: ignore[no-any-return]


def _of_roberta(model: Any, first: Tensor) -> Tensor:
    return model.classifier(first)  # type: ignore[no-any-return]


_HEADS: Mapping[str, Callable[[Any, Tensor], Tensor]] = {
    "BertForSequenceClassification": _of_bert,
    "CamembertForSequenceClassification": _of_roberta,
    "DistilBertForSequenceClassification": _of_distilbert,
    "ElectraForSequenceClassification": _of_roberta,
    "RobertaForSequenceClassification": _of_roberta,
    "XLMRobertaForSequenceClassification": _of_roberta,
}
"""How the logits come of the first tokens' states, (pairs, 1, size); as each class of transformers has it."""


def strategy(model: CrossEncoder) -> PairStrategy | None:
    """Return how padding can be avoided for this model on its device; None where it cannot."""
    first = model[0]
    if not isinstance(first, Transformer) or first.tokenizer is None:
        return None
    config: Any = first.config
    if counts_positions_from_padding(first):
        return None
    usual = config._attn_implementation in ("sdpa", ragged_attention.NAME)  # noqa: SLF001 - it has no public name
    plain = type(first.model).__name__ in _HEADS and len(model) == 1 and not getattr(config, "is_decoder", False)
    return "ragged" if plain and usual and model.device.type == "cpu" else "groups"


@contextmanager
def padding_free_training(model: CrossEncoder) -> Iterator[None]:
    """Have a reranker that is being trained score each batch in parts; its evaluation goes the usual way."""
    with _replaced(model, training=True):
        yield


@contextmanager
def padding_free_scoring(model: CrossEncoder) -> Iterator[None]:
    """Have a reranker score in parts; scores are the same but for rounding."""
    with _replaced(model, training=False):
        yield


@contextmanager
def _replaced(model: CrossEncoder, *, training: bool) -> Iterator[None]:
    chosen = strategy(model)
    if chosen is None:
        yield
        return
    with replaced_forward(model, _PairForward(model, chosen, model.forward, training), ragged=chosen == "ragged"):
        yield


@dataclass(frozen=True)
class _PairForward:
    """Takes the place of a reranker's forward pass."""

    model: CrossEncoder
    strategy: PairStrategy
    plain: Callable[..., Features]
    training: bool
    """Whether it works in training or in scoring; in the other, the model goes its usual way."""

    def __call__(self, features: Features, **options: Any) -> Features:
        known = {*TOKENS, "modality"}
        if options or self.model.training is not self.training or not {"input_ids", "attention_mask"} <= set(features):
            return self.plain(features, **options)
        if set(features) - known:
            return self.plain(features)
        counts: list[int] = features["attention_mask"].sum(1).tolist()
        device = features["input_ids"].device
        parts = parts_of(counts, self.strategy, device.type, training=self.training)
        score = self._ragged if self.strategy == "ragged" else self._trimmed
        scores = []
        for part in parts:
            rows = torch.tensor(part, device=device)
            selected = {key: value[rows] if key in TOKENS else value for key, value in features.items()}
            scores.append(score(selected, [counts[row] for row in part]))
        order = torch.tensor([row for part in parts for row in part], device=device)
        return {**features, "scores": torch.cat(scores)[order.argsort()]}

    def _trimmed(self, features: Features, counts: Sequence[int]) -> Tensor:
        """Score after the columns that are padding in all rows are cut off."""
        del counts
        return self.plain(trimmed(features))["scores"]  # type: ignore[no-any-return]

    def _ragged(self, features: Features, counts: Sequence[int]) -> Tensor:
        """Score pairs that lie one behind the other in a single row."""
        transformer: Any = self.model.transformers_model
        first: Any = self.model[0]
        offset = first._infer_flatten_position_offset()  # noqa: SLF001 - as it packs itself
        row = {name: value for name, value in packed(features, counts, offset).items() if name != "modality"}
        if transformer.config.model_type == "distilbert":
            row.pop("token_type_ids", None)
        states = transformer.base_model(**row).last_hidden_state[0]
        starts = row["cu_seq_lens_q"][:-1].long()
        return _HEADS[type(transformer).__name__](transformer, states[starts].unsqueeze(1))
