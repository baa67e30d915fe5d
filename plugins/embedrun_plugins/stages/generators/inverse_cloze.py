"""Questions that are sentences taken out of their passages."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from embedrun.artifacts import Document
from embedrun_plugins.stages.generators.extractive import ExtractedQuestion, Extractive, part
from embedrun_plugins.stages.texts.sentences import sentences, words


class InverseCloze(Extractive):
    """A random sentence of a passage as the question, and the passage, mostly without it, as the answer.

    Inverse cloze task of Lee et al., Latent Retrieval for Weakly Supervised Open Domain Question Answering (ORQA,
    2019), who remove the sentence from nine passages in ten, so that matching words is learnt, too, but not only.
    """

    type: Literal["inverse_cloze"] = "inverse_cloze"
    per_passage: int = Field(2, ge=1)
    """Questions made of each passage: different sentences, fewer where it has fewer."""
    removed: float = Field(0.9, ge=0, le=1)
    """Share of the questions whose sentence is removed from the passage that is trained on."""
    min_words: int = Field(5, ge=1)
    """Shorter sentences are no questions."""
    max_words: int = Field(64, ge=1)
    """Longer sentences are no questions: mostly tables and lists."""

    def faults(self) -> Iterable[str]:
        if self.min_words > self.max_words:
            yield f"min_words ({self.min_words}) must not be above max_words ({self.max_words})"

    def pairs(self, document: Document, rng: random.Random) -> Iterator[ExtractedQuestion]:
        text = document.text
        spans = sentences(text)
        if len(spans) == 1:
            return
        fit = [span for span in spans if self.min_words <= len(words(text[slice(*span)])) <= self.max_words]
        for begin, end in rng.sample(fit, min(self.per_passage, len(fit))):
            rest = f"{text[:begin].rstrip()} {text[end:].lstrip()}" if rng.random() < self.removed else ""
            yield ExtractedQuestion(text[begin:end], part(document, rest))
