"""What the generators share that make questions of the passages' own words, without a language model."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median_low

from pydantic import Field

from embedrun.artifacts import CUT_FROM, SPLITS, Document, RetrievalSet, Split
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun.stages import Generator
from embedrun_plugins.stages.generators.question_set import AskedPassage, asked_about, publish
from embedrun_plugins.stages.texts.sentences import words


@dataclass(frozen=True)
class ExtractedQuestion:
    """A question, and what of its passage is trained on as the answer: None means the whole."""

    question: str
    part: Document | None = None


@dataclass(frozen=True)
class PassageQuestion:
    """A question made of a passage."""

    passage: AskedPassage
    pair: ExtractedQuestion

    @property
    def answer(self) -> AskedPassage:
        part = self.pair.part
        return AskedPassage("train", part) if part and self.passage.split == "train" else self.passage


def part(of: Document, text: str, title: str | None = None) -> Document | None:
    """Return a part of a document to train on, under the document's title if no other is given; None where empty."""
    text = text.strip()
    return Document.of(text, of.title if title is None else title, **{CUT_FROM: of.id}) if text else None


class Extractive(Generator):
    """Makes questions of each passage's own words.

    A question of the train split may be trained on with a part of its passage. That part becomes a document that is
    never searched; the whole passage stays as it is in the corpus. In dev and test the whole passage is the answer.
    """

    splits: tuple[Split, ...] | None = Field(None, min_length=1)
    """Splits to make questions for. A passage's is what its source says (metadata: asked, else split), else train.

    By default train, and dev and test where they have no questions yet. What is measured on such questions says
    little about those that users ask."""

    @abstractmethod
    def pairs(self, document: Document, rng: random.Random) -> Iterator[ExtractedQuestion]:
        """Yield a document's questions; `chance` depends on the seed and the document's id only."""

    def chosen(self, questions: Sequence[PassageQuestion]) -> list[PassageQuestion]:
        """Choose among the questions of all passages."""
        return list(questions)

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        passages = asked_about(data, self.splits)
        candidates = [
            PassageQuestion(passage, pair)
            for passage in ctx.track(passages, "ask")
            for pair in self._pairs(ctx, passage.document)
        ]
        questions = self.chosen(candidates)
        for split in self.splits or ("train",):
            if not any(question.passage.split == split for question in questions):
                raise DataError(self._nothing(split, data, passages))
        ctx.note("passages_asked_about", len({question.passage.document.id for question in questions}))
        result = publish(
            ctx, data, [(question.answer, [question.pair.question]) for question in questions], generator=self.type
        )
        lengths = sorted(len(words(question.pair.question)) for question in questions)
        ctx.note("words_in_a_question", [lengths[0], median_low(lengths), lengths[-1]])
        self._warn(ctx, questions)
        return result

    def _pairs(self, ctx: Context, document: Document) -> Iterator[ExtractedQuestion]:
        rng = random.Random(f"{ctx.seed} {self.type} {document.id}")  # noqa: S311  # no secret depends on it
        seen: set[str] = set()
        for extracted in self.pairs(document, rng):
            question = " ".join(extracted.question.split())
            if question not in seen and any(letter.isalpha() for letter in question):
                seen.add(question)
                yield ExtractedQuestion(question, extracted.part)

    def _nothing(self, split: Split, data: RetrievalSet, passages: Sequence[AskedPassage]) -> str:
        count = sum(passage.split == split for passage in passages)
        if count:
            return (
                f"generator: '{self.type}' makes no question of the {count:,} passages of the {split} split: none is "
                f"as its settings ask ({', '.join(name for name in type(self).model_fields if 'words' in name)}, …)"
            )
        return (
            f"generator: '{self.type}' has nothing to ask about in the {split} split: none of the "
            f"{len(data.documents):,} passages belongs to it, or they answer questions of dev or test already"
        )

    def _warn(self, ctx: Context, questions: Sequence[PassageQuestion]) -> None:
        for split in SPLITS[1:]:
            count = len({question.pair.question for question in questions if question.passage.split == split})
            if count:
                ctx.warn(
                    f"the {count:,} questions of the {split} split are made by '{self.type}' of the very passages that "
                    "they must find: they do not tell how well users' questions are answered; use real ones for that"
                )
