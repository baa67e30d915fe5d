"""Texts to vectors, by role, each distinct text once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedrun.artifacts import Encoder, Role
from embedrun.errors import StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

BATCHES_PER_CHUNK = 64
"""Batches between two reports of progress."""
_UNPADDED_AT_ONCE = 128
"""Texts given at once to a model that computes no padding, which makes parts of them by their tokens."""

Progress = Callable[[float, float], None]
"""Told how many texts are done, and of how many."""


def distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts in order of first appearance, and for each given text its place among them."""
    numbers: dict[str, int] = {}
    index = [numbers.setdefault(text, len(numbers)) for text in texts]
    return list(numbers), np.array(index, dtype=np.int64)


def embed(
    model: Encoder, texts: Sequence[str], role: Role, batch_size: int = 32, progress: Progress | None = None
) -> Tensor:
    """Return (texts, dimensions) as float32 on the CPU, with the role's prompt, as the model normalises.

    Distinct texts are encoded once, longest first, so that a batch's texts are of like length and little is padding.
    Raises StageError where the model gives values that are no numbers.
    """
    if not texts:
        size = getattr(model, "get_embedding_dimension", int)()
        return torch.empty(0, size or 0)
    unique, index = distinct(texts)
    order = np.argsort([-len(text) for text in unique], kind="stable")
    encode = model.encode_query if role == "query" else model.encode_document
    size = batch_size * BATCHES_PER_CHUNK
    vectors = np.empty((0, 0), dtype=np.float32)
    with _without_padding(model) as unpadded:
        at_once = max(batch_size, _UNPADDED_AT_ONCE) if unpadded else batch_size
        for start in range(0, len(order), size):
            chunk = [unique[row] for row in order[start : start + size]]
            encoded = encode(chunk, batch_size=at_once, show_progress_bar=False)
            _refuse_no_numbers(encoded, chunk)
            if start == 0:
                vectors = np.empty((len(order), encoded.shape[1]), dtype=np.float32)
            vectors[order[start : start + size]] = encoded
            if progress is not None:
                progress(start + len(chunk), len(order))
    return torch.from_numpy(vectors if len(unique) == len(texts) else vectors[index])


@contextmanager
def _without_padding(model: Encoder) -> Iterator[bool]:
    """Have a model that is loaded here compute no padding, where it can be; tells whether it does."""
    loaded: Any = model
    if not isinstance(model, torch.nn.Module):
        yield False
        return
    from embedrun_plugins.models.padding_free import allocation, forward

    with (
        forward.padding_free_encoding(loaded) as unpadded,
        allocation.keep_freed_memory() if unpadded else nullcontext(),
    ):
        yield unpadded


def _refuse_no_numbers(vectors: NDArray[np.floating], texts: Sequence[str]) -> None:
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise StageError(
            f"the model's vectors of {len(broken)} texts hold NaN or infinity, such as that of "
            f"{texts[int(broken[0])][:60]!r}; its training may have diverged, or its dtype is too narrow (try float32)"
        )
