"""From texts to what a batch is made of, and from a batch to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Transformer
from tokenizers import Encoding, Tokenizer

from embedrun_plugins.models.routes import length_of
from embedrun_plugins.models.serving.errors import RequestError

Direction = Literal["Left", "Right"]
Vectors = NDArray[np.float32]
GOLDEN = ("How do I reset my password?", "Revenue rose by 12% in the third quarter. " * 20, "naïve café, 東京, 🎉", "a")
"""Texts of several lengths and scripts by which two ways of encoding are compared."""
SAME = 0.9999
"""Cosine from which two vectors count as equal; float32 on other batch shapes stays above 0.999999."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One text, ready for a batch."""

    size: int
    """Tokens, or a guess at them where only the model itself can tokenize."""
    group: object
    """Texts of different groups cannot share a batch."""
    content: Any


@dataclass(frozen=True, slots=True)
class _Tokens:
    """What a model reads of one text; the tokenizer's own object holds on to all that was cut off, too."""

    ids: NDArray[np.int64]
    type_ids: NDArray[np.int64]

    @classmethod
    def of(cls, encoding: Encoding) -> _Tokens:
        return cls(np.array(encoding.ids, np.int64), np.array(encoding.type_ids, np.int64))


def as_tokens(encoding: Encoding) -> _Tokens:
    return _Tokens.of(encoding)


class BatchRunner(Protocol):
    """What computes a batch of prepared texts or pairs."""

    def encode(self, batch: Sequence[Prepared]) -> Vectors:
        """Return a row for each, (texts, dimensions) or (pairs, 1); vectors are not yet normalised or cut."""


class BatchEncoder(BatchRunner, Protocol):
    """A model split in two: what may run in many threads, and what runs in batches."""

    def prepare(
        self,
        texts: Sequence[str],
        prompt: str,
        *,
        route: str | None = None,
        truncate: bool = True,
        direction: Direction = "Right",
    ) -> list[Prepared]: ...


def encoder_for(model: SentenceTransformer) -> BatchEncoder:
    """Choose how to run a model: by tokens where that is exactly what the model itself does, else as it does it."""
    model.eval()
    if not TokenEncoder.fits(model):
        return TextEncoder(model)
    encoder = TokenEncoder(model)
    expected = model.encode(list(GOLDEN), prompt="", show_progress_bar=False, convert_to_numpy=True)
    vectors = encoder.encode(encoder.prepare(GOLDEN, ""))
    return encoder if cosines(vectors, np.asarray(expected, np.float32)).min() > SAME else TextEncoder(model)


def cosines(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(norms, 1e-30))


class TokenEncoder:
    """A text transformer with a fast tokenizer: texts are tokenized in any thread and batched by their tokens."""

    def __init__(self, model: SentenceTransformer) -> None:
        transformer: Any = model[0]
        tokenizer = transformer.tokenizer
        self._model = model
        self._source: Tokenizer = tokenizer.backend_tokenizer
        self._inputs = frozenset(tokenizer.model_input_names)
        self._pad = tokenizer.pad_token_id or 0, tokenizer.pad_token_type_id
        self._pad_left = tokenizer.padding_side == "left"
        self._pools_prompt = all(getattr(module, "include_prompt", True) for module in model)
        self.max_length = length_of(model)
        # Threads share these copies, so that nobody changes one while another uses it.
        self._tokenizer = lru_cache(maxsize=None)(self._copy)

    @staticmethod
    def fits(model: SentenceTransformer) -> bool:
        first: Any = model[0]
        return (
            type(first) is Transformer
            and getattr(first.tokenizer, "is_fast", False)
            and first.modalities == ["text"]
            and not first.processing_kwargs
        )

    def _copy(self, direction: Direction | None) -> Tokenizer:
        copy = Tokenizer.from_str(self._source.to_str())
        copy.encode_special_tokens = self._source.encode_special_tokens
        copy.no_padding()
        copy.no_truncation()
        if direction and self.max_length:
            copy.enable_truncation(self.max_length, direction=direction.lower())
        return copy

    def prepare(
        self,
        texts: Sequence[str],
        prompt: str,
        *,
        route: str | None = None,  # noqa: ARG002 # such a model reads all texts in one way
        truncate: bool = True,
        direction: Direction = "Right",
    ) -> list[Prepared]:
        tokenizer = self._tokenizer(direction if truncate else None)
        encodings = tokenizer.encode_batch_fast([prompt + text for text in texts])
        longest = max(map(len, encodings), default=0)
        if self.max_length and longest > self.max_length:
            raise RequestError("Validation", f"`inputs` must have at most {self.max_length} tokens. Given: {longest}")
        skipped = 0 if self._pools_prompt or not prompt else self._prompt_length(prompt)
        return [Prepared(len(tokens), skipped, _Tokens.of(tokens)) for tokens in encodings]

    def _prompt_length(self, prompt: str) -> int:
        transformer: Any = self._model[0]
        return int(transformer._get_prompt_length(prompt) or 0)  # noqa: SLF001 # the pooling's own count

    def encode(self, batch: Sequence[Prepared]) -> Vectors:
        features: dict[str, Any] = {"modality": "text", **self._tensors([item.content for item in batch])}
        if batch[0].group:
            features["prompt_length"] = batch[0].group
        with torch.inference_mode():
            return _numpy(self._model(features)["sentence_embedding"])

    def _tensors(self, batch: Sequence[_Tokens]) -> dict[str, torch.Tensor]:
        columns = {"input_ids": self._padded([tokens.ids for tokens in batch], self._pad[0])}
        columns["attention_mask"] = self._padded([np.ones_like(tokens.ids) for tokens in batch], 0)
        if "token_type_ids" in self._inputs:
            columns["token_type_ids"] = self._padded([tokens.type_ids for tokens in batch], self._pad[1])
        return {name: torch.from_numpy(values).to(self._model.device) for name, values in columns.items()}

    def _padded(self, rows: Sequence[NDArray[np.int64]], fill: int) -> NDArray[np.int64]:
        width = max(map(len, rows))
        padded = np.full((len(rows), width), fill, np.int64)
        for line, row in zip(padded, rows, strict=True):
            line[width - len(row) if self._pad_left else 0 :][: len(row)] = row
        return padded

    def tokenize(self, texts: Sequence[str], *, special: bool) -> list[Encoding]:
        return self._tokenizer(None).encode_batch(list(texts), add_special_tokens=special)


class TextEncoder:
    """Any other model: it gets its texts as they are."""

    def __init__(self, model: SentenceTransformer) -> None:
        self._model = model

    def prepare(
        self,
        texts: Sequence[str],
        prompt: str,
        *,
        route: str | None = None,
        truncate: bool = True,
        direction: Direction = "Right",
    ) -> list[Prepared]:
        if not truncate or direction == "Left":
            raise RequestError("Validation", "`truncate` and `truncation_direction` cannot be chosen for this model")
        return [Prepared(1 + len(text) // 4, (prompt, route), text) for text in texts]

    def encode(self, batch: Sequence[Prepared]) -> Vectors:
        texts = [item.content for item in batch]
        prompt, route = cast("tuple[str, str | None]", batch[0].group)
        options: dict[str, Any] = {"task": route} if route else {}
        return _numpy(
            self._model.encode(
                texts, prompt=prompt, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True, **options
            )
        )


def without_normalisation(model: SentenceTransformer) -> None:
    """Take the last module off where it normalises, since each request says whether to."""
    if isinstance(model[-1], Normalize):
        del model[-1]


def _numpy(vectors: torch.Tensor) -> Vectors:
    return np.asarray(vectors.float().cpu().numpy())
