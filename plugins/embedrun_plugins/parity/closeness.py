"""How near two sets of vectors are, and where they differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embedrun.artifacts import Role
from embedrun_plugins.parity.checkpoint import ROLES, Vectors


@dataclass(frozen=True)
class Closeness:
    """The worst cosine of all texts, and where it was found."""

    cosine: float
    role: Role
    text: str


def worst(texts: Sequence[str], expected: Mapping[Role, Vectors], answered: Mapping[Role, Vectors]) -> Closeness:
    """Compare as many texts and leading dimensions as were answered; what is no number is as far as can be."""
    found = [
        Closeness(float(cosine), role, text)
        for role in ROLES
        for cosine, text in zip(_cosines(expected[role], answered[role]), texts, strict=False)
    ]
    return min(found, key=lambda closeness: closeness.cosine)


def lengths(vectors: Vectors) -> Vectors:
    return np.asarray(np.linalg.norm(vectors, axis=1))


def _cosines(expected: Vectors, answered: Vectors) -> Vectors:
    rows, width = min(len(expected), len(answered)), min(expected.shape[1], answered.shape[1])
    a, b = expected[:rows, :width], answered[:rows, :width]
    cosines = (a * b).sum(axis=1) / np.maximum(lengths(a) * lengths(b), 1e-30)
    return np.where(np.isfinite(cosines), cosines, -1.0)
