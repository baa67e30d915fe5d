"""Questions that are the titles and headings of their passages."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from embedrun.artifacts import Document
from embedrun_plugins.stages.generators.extractive import ExtractedQuestion, Extractive, PassageQuestion, part
from embedrun_plugins.stages.texts.keys import bare
from embedrun_plugins.stages.texts.sentences import sentences, words

Heading = Literal["title", "section", "first_line"]


class Title(Extractive):
    """A passage's title as the question, and what stands below it as the answer.

    Titles and bodies are among the naturally paired texts that Wang et al., Text Embeddings by Weakly-Supervised
    Contrastive Pre-training (E5, 2022) learn from. The title is removed from the passage that is trained on.
    """

    type: Literal["title"] = "title"
    seeded = False
    headings: tuple[Heading, ...] = Field(("section", "title", "first_line"), min_length=1)
    """What is taken for the title: the first of these that a passage has and that few share. section, title: as its
    source gives them. first_line: its first line, or its first sentence where it has one line only."""
    min_words: int = Field(2, ge=1)
    """Shorter ones are no questions."""
    max_words: int = Field(32, ge=1)
    """Longer ones are no titles."""
    max_passages: int = Field(5, ge=1)
    """A title that more passages share, such as a file's, says too little of any and is no question."""

    def faults(self) -> Iterable[str]:
        if self.min_words > self.max_words:
            yield f"min_words ({self.min_words}) must not be above max_words ({self.max_words})"

    def pairs(self, document: Document, rng: random.Random) -> Iterator[ExtractedQuestion]:  # noqa: ARG002  # nothing is drawn
        for heading in self.headings:
            title = _heading(document, heading)
            if self.min_words <= len(words(title)) <= self.max_words:
                body = part(document, _below(document.text, title), "" if title in document.title else None)
                if body:
                    yield ExtractedQuestion(title, body)

    def chosen(self, questions: Sequence[PassageQuestion]) -> list[PassageQuestion]:
        """Choose the first of each passage's titles that not too many share."""
        passages: dict[str, set[str]] = {}
        for question in questions:
            passages.setdefault(question.pair.question, set()).add(question.passage.document.id)
        first: dict[str, PassageQuestion] = {}
        for question in questions:
            if len(passages[question.pair.question]) <= self.max_passages:
                first.setdefault(question.passage.document.id, question)
        return list(first.values())


def _heading(document: Document, heading: Heading) -> str:
    if heading == "section":
        return _text(document.metadata.get("section"))
    if heading == "title":
        return _text(document.metadata.get("title")) or document.title
    text = document.text.strip()
    first, *more = text.split("\n", 1)
    if more:
        return first.strip()
    begin, end = next(iter(sentences(text)), (0, 0))
    return text[begin:end]


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _below(text: str, heading: str) -> str:
    """Return a text without the lines that are the heading, as Markdown or in other case, or begin the text with it."""
    lines = text.strip().removeprefix(heading).split("\n")
    return "\n".join(line for line in lines if bare(line) != bare(heading))
