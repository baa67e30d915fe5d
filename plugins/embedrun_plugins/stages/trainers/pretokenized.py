"""Texts tokenized once, before training; batches are put together from their token ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.base.modules import Transformer

from embedrun_plugins.models.encode import distinct

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embedrun_plugins.stages.trainers.training_rows import TrainingRows

_AT_A_TIME = 1024
_ROWS = ("input_ids", "token_type_ids")


@dataclass(frozen=True)
class _Column:
    """The token ids of distinct texts with one prompt before them."""

    positions: Mapping[str, int]
    ends: NDArray[np.int64]
    flat: Mapping[str, NDArray[np.int32]]
    """Ids of all texts, one behind the other, by feature."""
    rest: Mapping[str, Any]
    """Features that are the same for all texts: their modality and the prompt's length."""


@dataclass(frozen=True)
class Tokens:
    """Stands in for a model's `preprocess`: gives the same features for texts seen before, and asks it for others."""

    model: SentenceTransformer
    columns: Mapping[str, _Column]

    @classmethod
    def of(cls, model: SentenceTransformer, texts: Mapping[str, Iterable[str]]) -> Tokens | None:
        """Tokenize texts by the prompt that goes before them; None where the model's input is not plain token ids."""
        first = model[0]
        if not isinstance(first, Transformer) or "message" in first.modality_config or first.processing_kwargs:
            return None
        unpadded, first.unpad_inputs = first.unpad_inputs, False
        try:
            columns = {prompt: _column(model, prompt, list(prompted)) for prompt, prompted in texts.items()}
            tokens = cls(model, {prompt: column for prompt, column in columns.items() if column})
            return tokens if all(columns.values()) and all(map(tokens._is_right, columns)) else None
        finally:
            first.unpad_inputs = unpadded

    def __call__(
        self, inputs: Sequence[str], prompt: str | None = None, task: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Return what the model's `preprocess` returns for these texts: padded ids and masks, (texts, longest)."""
        column = self.columns.get(prompt or "")
        if column is None or task or options or any(text not in column.positions for text in inputs):
            return dict(self.model.preprocess(list(inputs), prompt=prompt, task=task, **options))
        positions = np.array([column.positions[text] for text in inputs])
        begins, ends = column.ends[positions], column.ends[positions + 1]
        lengths = ends - begins
        width = int(lengths.max())
        tokenizer = self.model.tokenizer
        # Of each cell, the position of its token within the text; outside of it where the cell is padding.
        at = np.arange(width) - (0 if tokenizer.padding_side == "right" else width - lengths[:, None])
        mask = (at >= 0) & (at < lengths[:, None])
        source = (begins[:, None] + at)[mask]
        padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
        ids: dict[str, Any] = {}
        for name, flat in column.flat.items():
            cells = np.full(mask.shape, padding[name], dtype=np.int64)
            cells[mask] = flat[source]
            ids[name] = torch.from_numpy(cells)
        return {**ids, "attention_mask": torch.from_numpy(mask.astype(np.int64)), **column.rest}

    def _is_right(self, prompt: str) -> bool:
        """Compare with the model's own features of a short, a middling and a long text."""
        texts = sorted(self.columns[prompt].positions, key=len)
        some = [texts[0], texts[len(texts) // 2], texts[-1]]
        expected, features = self.model.preprocess(some, prompt=prompt or None), self(some, prompt=prompt or None)
        return expected.keys() == features.keys() and all(_same(expected[name], features[name]) for name in expected)


def tokenize(collator: Any, model: SentenceTransformer, tables: Iterable[TrainingRows]) -> bool:
    """Have a collator take texts from tokens made now; False where it must tokenize each batch as it is drawn."""
    if collator.router_mapping:
        return False
    texts: dict[str, list[str]] = {}
    for table in tables:
        for name, cells in table.columns.items():
            if isinstance(cells[0], str):
                texts.setdefault((collator.prompts or {}).get(name, ""), []).extend(cells)
    tokens = Tokens.of(model, texts)
    collator.preprocess_fn = tokens or collator.preprocess_fn
    return tokens is not None


def _column(model: SentenceTransformer, prompt: str, texts: Sequence[str]) -> _Column | None:
    unique = sorted(distinct(texts)[0], key=len)
    rest: dict[str, Any] = {}
    flat: dict[str, list[NDArray[np.int32]]] = {}
    lengths: list[NDArray[np.int64]] = []
    for start in range(0, len(unique), _AT_A_TIME):
        features = dict(model.preprocess(unique[start : start + _AT_A_TIME], prompt=prompt or None))
        if not {"input_ids", "attention_mask"} <= features.keys():
            return None
        mask = features.pop("attention_mask").numpy().astype(bool)
        lengths.append(mask.sum(1))
        for name in _ROWS:
            if name in features:
                flat.setdefault(name, []).append(features.pop(name).numpy()[mask].astype(np.int32))
        rest = features
    if any(isinstance(value, torch.Tensor) for value in rest.values()):
        return None
    ends = np.concatenate([[0], *lengths]).cumsum()
    joined = {name: np.concatenate(pieces) for name, pieces in flat.items()}
    return _Column({text: position for position, text in enumerate(unique)}, ends, joined, rest)


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    return bool(first == second)
