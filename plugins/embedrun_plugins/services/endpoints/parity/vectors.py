"""What an endpoint answered, read leniently, so that a fault in it can be named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedrun.artifacts import Role
from embedrun_plugins.services.endpoints.parity.checkpoint import ROLES, Vectors


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
        for texts, answer in answers:
            vectors = _vectors(answer)
            if vectors is None or (joined and vectors.shape[1] != joined[0].shape[1]):
                raise NoVectorsError(str(answer))
            joined.append(vectors[: len(texts)])
            if len(vectors) != len(texts):
                return cls(np.concatenate(joined), _miscounted(len(vectors), len(texts)))
        return cls(np.concatenate(joined))


def _miscounted(count: int, wanted: int) -> str:
    if count > wanted:
        return f"it answers {count} vectors for {wanted} texts"
    which = "only the first of a request's texts" if count == 1 else f"{count} of {wanted} texts"
    return f"it answers {which}"


def _vectors(answer: Any) -> Vectors | None:
    """Return (texts, dimensions); one flat list is one vector."""
    try:
        read = np.array(answer, np.float64)
    except (ValueError, TypeError):
        return None
    read = read[None, :] if read.ndim == 1 and read.size else read
    return read if read.ndim == 2 and read.size else None  # noqa: PLR2004


@dataclass(frozen=True)
class Closeness:
    """The worst cosine of all texts, and where it was found."""

    cosine: float
    role: Role
    text: str


def worst(texts: Sequence[str], expected: Mapping[Role, Vectors], answered: Mapping[Role, Vectors]) -> Closeness:
    """Compare as many texts and leading dimensions as were answered; what is no number is as far as can be."""
    closenesses = [
        Closeness(float(cosine), role, text)
        for role in ROLES
        for cosine, text in zip(_cosines(expected[role], answered[role]), texts, strict=False)
    ]
    return min(closenesses, key=lambda closeness: closeness.cosine)


def lengths(vectors: Vectors) -> Vectors:
    return np.asarray(np.linalg.norm(vectors, axis=1))


def _cosines(expected: Vectors, answered: Vectors) -> Vectors:
    rows, width = min(len(expected), len(answered)), min(expected.shape[1], answered.shape[1])
    a, b = expected[:rows, :width], answered[:rows, :width]
    cosines = (a * b).sum(axis=1) / np.maximum(lengths(a) * lengths(b), 1e-30)
    cosines[(lengths(a) == 0) & (lengths(b) == 0)] = 1.0  # a static model knows nothing of " "
    return np.where(np.isfinite(cosines), cosines, -1.0)
