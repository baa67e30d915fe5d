"""Texts that are longer than a model reads: how many, by its own tokenizer, on a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from embedrun.artifacts import Model, RetrievalSet, Role
from embedrun.errors import DataError
from embedrun_plugins.models.tokenizer import lengths, room, tokenizer_of

SAMPLE = 1_000
"""Texts of a role that are looked at."""
_PLURALS: Mapping[Role, str] = {"document": "documents", "query": "queries"}
_WORTH_A_WARNING = 0.01


@dataclass(frozen=True)
class TextLengths:
    """How long some texts of one role are, in tokens without special ones, and how much of each is read."""

    role: Role
    tokens: Sequence[int]
    room: int
    of: int
    """Texts that these were taken from."""

    @property
    def cut(self) -> int:
        """How many are longer than the model reads."""
        return sum(count > self.room for count in self.tokens)

    @property
    def noun(self) -> str:
        return _PLURALS[self.role]

    @property
    def share(self) -> float:
        return self.cut / len(self.tokens)

    @property
    def matters(self) -> bool:
        """Whether enough are cut for a warning."""
        return self.share >= _WORTH_A_WARNING

    @property
    def sentence(self) -> str:
        """Say how many texts are cut, and what of them is lost."""
        lost = sum(max(0, count - self.room) for count in self.tokens) / max(1, sum(self.tokens))
        counted = f"{len(self.tokens):,} {self.noun}"
        sample = f"{counted} looked at, of {self.of:,}," if self.of > len(self.tokens) else counted
        return (
            f"{self.cut:,} of {sample} ({self.share:.1%}) are longer than the {self.room:,} tokens that the model "
            f"reads of one, and are cut: {lost:.1%} of all tokens are lost; raise model.max_length if the model reads "
            "more, or split them"
        )


def measure(model: Model, texts: Mapping[Role, Sequence[str]]) -> Iterator[TextLengths]:
    """Yield the lengths of up to `SAMPLE` texts of each role, evenly spaced.

    Nothing for a model without a tokenizer of the common kind, or that reads texts of any length.
    """
    try:
        tokenizer = tokenizer_of(model)
    except DataError:
        return
    for role, all_texts in texts.items():
        limit = room(model, tokenizer, role)
        some = all_texts[:: max(1, -(-len(all_texts) // SAMPLE))]
        if limit is not None and some:
            yield TextLengths(role, list(lengths(tokenizer, some)), limit, len(all_texts))


def of_set(model: Model, data: RetrievalSet) -> Iterator[TextLengths]:
    """Yield the lengths of a set's documents and queries."""
    texts: dict[Role, Sequence[str]] = {
        "document": [document.full_text for document in data.documents.values()],
        "query": [query.text for query in data.queries.values()],
    }
    yield from measure(model, texts)


def warnings(model: Model, data: RetrievalSet) -> Iterator[str]:
    """Say which texts of a set are cut, where it is more than one in a hundred."""
    yield from (measured.sentence for measured in of_set(model, data) if measured.matters)
