"""From pairs of texts to what a batch is made of, and from a batch to scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from embedrun_plugins.models.serving.encoders import BatchRunner, Direction, Prepared, TokenEncoder, Vectors, as_tokens
from embedrun_plugins.models.serving.errors import RequestError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_GOLDEN = (
    ("How do I reset my password?", "Press the button below the form. " * 3),
    ("revenue", "Revenue rose by 12% in the third quarter. " * 120),
    ("naïve café, 東京", "a"),
)
_SAME = 1e-4


class PairEncoder(BatchRunner, Protocol):
    """A reranker split in two: what may run in many threads, and what runs in batches."""

    def prepare_pairs(
        self, query: str, texts: Sequence[str], *, truncate: bool, direction: Direction
    ) -> list[Prepared]: ...


def pair_encoder_for(model: CrossEncoder) -> PairEncoder:
    """Choose how to run a reranker: by tokens where that is exactly what the model itself does, else as it does it."""
    model.eval()
    plain: Any = model
    if not TokenEncoder.fits(plain):
        return PairTextEncoder(model)
    encoder = PairTokenEncoder(plain)
    prepared = [pair for query, text in _GOLDEN for pair in encoder.prepare_pairs(query, [text])]
    pairs: Any = list(_GOLDEN)
    expected = model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    same = np.abs(encoder.encode(prepared)[:, 0] - expected).max() < _SAME
    return encoder if same else PairTextEncoder(model)


class PairTokenEncoder(TokenEncoder):
    """A classifier with a fast tokenizer: pairs are tokenized in any thread and batched by their tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._pair_tokenizer = lru_cache(maxsize=None)(self._copy)

    def prepare_pairs(
        self, query: str, texts: Sequence[str], *, truncate: bool = True, direction: Direction = "Right"
    ) -> list[Prepared]:
        encodings = self._pair_tokenizer(direction if truncate else None).encode_batch(
            [(query, text) for text in texts]
        )
        longest = max(map(len, encodings), default=0)
        if self.max_length and longest > self.max_length:
            raise RequestError(
                "Validation", f"`query` and a text must have at most {self.max_length} tokens. Given: {longest}"
            )
        return [Prepared(len(encoding), 0, as_tokens(encoding)) for encoding in encodings]

    def encode(self, batch: Sequence[Prepared]) -> Vectors:
        features: dict[str, Any] = {"modality": "text", **self._tensors([item.content for item in batch])}
        with torch.inference_mode():
            return np.asarray(self._model(features)["scores"].float().cpu().numpy(), np.float32)


class PairTextEncoder:
    """Any other reranker: it gets its pairs as they are."""

    def __init__(self, model: CrossEncoder) -> None:
        self._model = model

    def prepare_pairs(
        self, query: str, texts: Sequence[str], *, truncate: bool, direction: Direction
    ) -> list[Prepared]:
        if not truncate or direction == "Left":
            raise RequestError("Validation", "`truncate` and `truncation_direction` cannot be chosen for this model")
        return [Prepared(2 + (len(query) + len(text)) // 4, 0, (query, text)) for text in texts]

    def encode(self, batch: Sequence[Prepared]) -> Vectors:
        pairs: Any = [item.content for item in batch]
        scores = self._model.predict(
            pairs, batch_size=len(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False
        )
        return np.asarray(scores, np.float32)[:, None]
