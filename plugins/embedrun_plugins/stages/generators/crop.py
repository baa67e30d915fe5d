"""Questions that are random crops of their passages."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from embedrun.artifacts import Document
from embedrun_plugins.stages.generators.extractive import ExtractedQuestion, Extractive, part
from embedrun_plugins.stages.texts.sentences import words


class Crop(Extractive):
    """Two random spans of a passage as question and answer, drawn independently; they may overlap.

    Random cropping of Izacard et al., Unsupervised Dense Information Retrieval with Contrastive Learning
    (Contriever, 2022), whose spans hold 5% to 50% of a document's tokens; here they are counted in words.
    """

    type: Literal["crop"] = "crop"
    per_passage: int = Field(2, ge=1)
    """Questions made of each passage."""
    min_words: int = Field(4, ge=1)
    """A span holds at least so many words; a passage that has not twice as many is not asked about."""
    max_words: int | None = Field(32, ge=1)
    """A question's length is drawn between min_words and this, so that it is as short as users' are; null draws it as
    the answer's, as in the paper."""
    min_share: float = Field(0.05, gt=0, le=1)
    """Least share of the passage's words that the answer holds."""
    max_share: float = Field(0.5, gt=0, le=1)
    """Greatest share of the passage's words that either span holds."""
    answer: Literal["span", "passage"] = "span"
    """What is trained on as the answer: another random span, as in the paper, or the whole passage."""

    def faults(self) -> Iterable[str]:
        if self.min_share > self.max_share:
            yield f"min_share ({self.min_share:g}) must not be above max_share ({self.max_share:g})"
        if self.max_words is not None and self.min_words > self.max_words:
            yield f"min_words ({self.min_words}) must not be above max_words ({self.max_words})"

    def pairs(self, document: Document, rng: random.Random) -> Iterator[ExtractedQuestion]:
        spans = words(document.text)
        if len(spans) < 2 * self.min_words:
            return
        least, most = (max(self.min_words, round(share * len(spans))) for share in (self.min_share, self.max_share))
        shortest, longest = (self.min_words, min(self.max_words, most)) if self.max_words else (least, most)
        for _ in range(self.per_passage):
            question = _span(document.text, spans, rng, shortest, longest)
            answer = _span(document.text, spans, rng, least, most) if self.answer == "span" else ""
            yield ExtractedQuestion(question, part(document, answer))


def _span(text: str, spans: list[tuple[int, int]], rng: random.Random, least: int, most: int) -> str:
    length = rng.randint(least, most)
    first = rng.randint(0, len(spans) - length)
    return text[spans[first][0] : spans[first + length - 1][1]]
