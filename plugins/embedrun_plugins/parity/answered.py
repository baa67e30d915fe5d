"""What an endpoint answered, read leniently, so that a fault in it can be named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedrun_plugins.parity.checkpoint import Vectors


class NoVectorsError(Exception):
    """An answer that is no list of vectors of one length."""


@dataclass(frozen=True)
class Answered:
    """The vectors of as many texts as were answered one for one, and what is wrong with their number."""

    vectors: Vectors
    miscounted: str | None = None

    @classmethod
    def of(cls, answers: Iterable[tuple[Sequence[str], Any]]) -> Answered:
        """Join the answers of several requests, each with its texts.

        Raises NoVectorsError with what is none.
        """
        joined: list[Vectors] = []
        for texts, found in answers:
            vectors = _vectors(found)
            if vectors is None or (joined and vectors.shape[1] != joined[0].shape[1]):
                raise NoVectorsError(str(found))
            joined.append(vectors[: len(texts)])
            if len(vectors) != len(texts):
                return cls(np.concatenate(joined), _miscounted(len(vectors), len(texts)))
        return cls(np.concatenate(joined))


def _miscounted(count: int, wanted: int) -> str:
    if count > wanted:
        return f"it answers {count} vectors for {wanted} texts"
    which = "only the first of a request's texts" if count == 1 else f"{count} of {wanted} texts"
    return f"it answers {which}"


def _vectors(found: Any) -> Vectors | None:
    """Return (texts, dimensions); one flat list is one vector."""
    try:
        read = np.array(found, np.float64)
    except (ValueError, TypeError):
        return None
    read = read[None, :] if read.ndim == 1 and read.size else read
    return read if read.ndim == 2 and read.size else None  # noqa: PLR2004
