"""Texts to vectors, by role, each distinct text once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedrun.artifacts import Encoder, Role
from embedrun.errors import StageError
from embedrun.hashing import value_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

BATCHES_PER_CHUNK = 64
"""Batches that are checked at once, and kept against a kill."""
_UNPADDED_AT_ONCE = 128
"""Texts given at once to a model that computes no padding, which makes parts of them by their tokens."""

Progress = Callable[[float, float], None]
"""Told how many texts are done, and of how many."""


def distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts in order of first appearance, and for each given text its place among them."""
    numbers: dict[str, int] = {}
    index = [numbers.setdefault(text, len(numbers)) for text in texts]
    return list(numbers), np.array(index, dtype=np.int64)


@dataclass
class _Report:
    """How many texts are done, told after every batch."""

    progress: Progress
    total: int
    done: int = 0

    def add(self, count: int) -> None:
        self.reach(self.done + count)

    def reach(self, done: int) -> None:
        if done > self.done:
            self.done = min(done, self.total)
            self.progress(self.done, self.total)


@dataclass(frozen=True)
class _Shards:
    """Vectors of the chunks that are done, each under the digest of its texts, so that a killed encoding goes on."""

    folder: Path
    ways: Sequence[str]
    """What else decides the vectors, of what can differ within the folder."""

    def of(self, chunk: Sequence[str], encode: Callable[[], NDArray[np.floating]]) -> NDArray[np.floating]:
        file = self.folder / f"{value_digest([*self.ways, *chunk])}.npy"
        try:
            return np.asarray(np.load(file, allow_pickle=False))
        except (OSError, ValueError, EOFError):
            vectors = encode()
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = file.with_suffix(f".{os.getpid()}")
        with scratch.open("wb") as stream:
            np.save(stream, vectors, allow_pickle=False)
        scratch.replace(file)
        return vectors


def embed(
    model: Encoder,
    texts: Sequence[str],
    role: Role,
    batch_size: int = 32,
    progress: Progress | None = None,
    shards: Path | None = None,
) -> Tensor:
    """Return (texts, dimensions) as float32 on the CPU, with the role's prompt, as the model normalises.

    Distinct texts are encoded once, longest first, so that a batch's texts are of like length and little is padding.
    `shards` is a folder of this model's own, such as one in a context's `state`: what was encoded there before a kill
    is not encoded again. Raises StageError where the model gives values that are no numbers.
    """
    if not texts:
        size = getattr(model, "get_embedding_dimension", int)()
        return torch.empty(0, size or 0)
    unique, index = distinct(texts)
    order = np.argsort([-len(text) for text in unique], kind="stable")
    report = _Report(progress or (lambda *_: None), len(order))
    report.progress(0, len(order))
    encode = model.encode_query if role == "query" else model.encode_document
    size = batch_size * BATCHES_PER_CHUNK
    vectors = np.empty((0, 0), dtype=np.float32)
    with _counted(model, report), _without_padding(model) as unpadded:
        at_once = max(batch_size, _UNPADDED_AT_ONCE) if unpadded else batch_size
        kept = _Shards(shards, [role, str(at_once), str(model.device)]) if shards and len(order) > size else None
        for start in range(0, len(order), size):
            chunk = [unique[row] for row in order[start : start + size]]
            call = partial(encode, chunk, batch_size=at_once, show_progress_bar=False)
            encoded = kept.of(chunk, call) if kept else call()
            _refuse_no_numbers(encoded, chunk)
            if start == 0:
                vectors = np.empty((len(order), encoded.shape[1]), dtype=np.float32)
            vectors[order[start : start + size]] = encoded
            report.reach(start + len(chunk))
    return torch.from_numpy(vectors if len(unique) == len(texts) else vectors[index])


@contextmanager
def _counted(model: Encoder, report: _Report) -> Iterator[None]:
    """Have a model that is loaded here tell how many texts each of its forward passes embeds."""
    if not isinstance(model, torch.nn.Module):
        yield
        return
    from embedrun_plugins.models.padding_free.replaced_forward import replaced_forward

    plain = model.forward

    def forward(*features: Any, **options: Any) -> Any:
        output = plain(*features, **options)
        report.add(len(output.get("sentence_embedding", ())))
        return output

    with replaced_forward(model, forward):
        yield


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
