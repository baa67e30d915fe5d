"""The gate: golden texts go through an endpoint, and its vectors must be the checkpoint's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from embedrun.artifacts import Model, Role
from embedrun.errors import StageError
from embedrun_plugins.services.endpoints.client import Client, RequestParameters
from embedrun_plugins.services.endpoints.parity import diagnosis as causes
from embedrun_plugins.services.endpoints.parity.checkpoint import ROLES, Checkpoint, Vectors
from embedrun_plugins.services.endpoints.parity.golden_texts import golden
from embedrun_plugins.services.endpoints.parity.vectors import Answered, Closeness, NoVectorsError, lengths, worst
from embedrun_plugins.services.endpoints.transports import Transport

SAME = 0.999
"""Cosine from which an endpoint's vector counts as the model's; float32 elsewhere stays above 0.99999."""
SAME_BFLOAT16 = 0.99
"""The same for weights with eight bits of precision, which other hardware rounds otherwise."""
_LENGTH = 0.01
"""Share by which a vector's length may differ."""


@dataclass(frozen=True)
class Proof:
    """What an endpoint answered, beside what the model gives."""

    where: str
    closeness: Closeness | None
    least: float
    causes: tuple[str, ...] = ()
    """What is wrong, most likely cause first; none where the vectors are the model's."""
    texts: int = 0
    """Golden texts sent, for each role."""

    @property
    def holds(self) -> bool:
        return not self.causes

    def require(self) -> None:
        """Raise StageError, naming the causes, where the vectors are not the model's."""
        if not self.holds:
            raise StageError(str(self))

    def __str__(self) -> str:
        return f"{self.where}: what answers is not the model: {'; '.join(self.causes)}{self._measured()}"

    def _measured(self) -> str:
        if self.closeness is None or self.closeness.cosine >= self.least:
            return ""
        text = self.closeness.text if len(self.closeness.text) <= 60 else f"{self.closeness.text[:59]}…"  # noqa: PLR2004
        return f" (cosine {self.closeness.cosine:.4f}, at least {self.least:g}, for the {self.closeness.role} {text!r})"

    def described(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        worst_text = vars(self.closeness) if self.closeness else None
        return {"where": self.where, "holds": self.holds, "causes": list(self.causes), "worst": worst_text} | {
            "least": self.least,
            "texts": self.texts,
        }


def reading_of(checkpoint: Checkpoint, vectors: Mapping[Role, Vectors]) -> RequestParameters:
    """Return how an endpoint of this model must be asked: by its own prompts' names, normalised if its vectors are."""
    names = {role: checkpoint.name_of(role) for role in ROLES}
    norms = np.concatenate([lengths(vectors[role]) for role in ROLES])
    unit = np.allclose(norms[norms > 0], 1.0, atol=_LENGTH)
    return RequestParameters(query=names["query"], document=names["document"], normalize=unit)


@dataclass(frozen=True)
class Gate:
    """A model and its golden texts, loaded once for all of its endpoints."""

    checkpoint: Checkpoint
    least: float
    texts: list[str]
    expected: dict[Role, Vectors]
    reading: RequestParameters = field(default_factory=RequestParameters)

    @classmethod
    def of(cls, model: Model, base: Model | None = None, least: float | None = None) -> Gate:
        """Load a model, and encode the texts; `base` is what it was trained from, to be blamed where that answers."""
        checkpoint = Checkpoint(model, base)
        by_precision = SAME_BFLOAT16 if str(checkpoint.loaded.dtype) == "torch.bfloat16" else SAME
        texts = golden(checkpoint.loaded)
        expected = checkpoint.vectors(texts)
        return cls(checkpoint, least or by_precision, texts, expected, reading_of(checkpoint, expected))

    def at_least(self, least: float | None) -> Gate:
        """Return the same gate with another limit, if one is given."""
        return self if least is None else replace(self, least=least)

    def prove(self, transport: Transport, reading: RequestParameters | None = None) -> Proof:
        """Send the texts as each role; `reading` is how the endpoint's record says that it is asked.

        Raises UserError or StageError where it cannot be asked.
        """
        client = Client(transport, reading or self.reading)
        try:
            answered = {role: Answered.of(client.answers(self.texts, role)) for role in ROLES}
        except NoVectorsError as strange:
            reason = f"it returned no list of vectors of one length: {str(strange)[:60]}"
            return Proof(transport.where, None, self.least, (reason,), len(self.texts))
        miscounted = dict.fromkeys(answer.miscounted for answer in answered.values() if answer.miscounted)
        vectors = {role: answer.vectors for role, answer in answered.items()}
        closeness = worst(self.texts, self.expected, vectors)
        faults = (*miscounted, *self._shapes(vectors), *self._content(vectors, closeness))
        return Proof(transport.where, closeness, self.least, faults, len(self.texts))

    def _content(self, answered: Mapping[Role, Vectors], closeness: Closeness) -> Iterator[str]:
        if closeness.cosine >= self.least:
            return
        cause, certain = causes.find(self.checkpoint, self.texts, answered, self.least)
        if certain:
            yield cause.said
        else:
            yield f"no usual cause explains it; the closest is that {cause.said} (cosine {cause.cosine:.4f} then)"

    def _shapes(self, answered: Mapping[Role, Vectors]) -> Iterator[str]:
        """Say what is wrong with the vectors' dimensions and their lengths."""
        width, size = answered["query"].shape[1], self.expected["query"].shape[1]
        if width != size:
            yield (
                f"it answers {width} of {size} dimensions"
                if width < size
                else (f"it answers {width} dimensions, and the model has {size}")
            )
        if fault := self._wrong_length(answered):
            yield fault

    def _wrong_length(self, answered: Mapping[Role, Vectors]) -> str | None:
        sent = np.concatenate([lengths(answered[role]) for role in ROLES])
        norms = np.concatenate([lengths(self.expected[role])[: len(answered[role])] for role in ROLES])
        sent, norms = sent[norms > 0], norms[norms > 0]  # a static model gives zeros for what is no word of its own
        if np.allclose(sent, norms, rtol=_LENGTH):
            return None
        if np.allclose(norms, 1.0, atol=_LENGTH):
            return f"its vectors are not normalised: their lengths go from {sent.min():.3g} to {sent.max():.3g}"
        if np.allclose(sent, 1.0, atol=_LENGTH):
            return "its vectors are normalised, and the model's are not"
        return None  # lengths of other texts' vectors: what differs is their content
