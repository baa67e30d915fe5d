"""What is asked: which passages, alone or together, in which style, with which prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun.artifacts import Document
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.results.query_metadata import PASSAGES_NEEDED, STYLE
from embedrun_plugins.services.language_models.llm_service import Request
from embedrun_plugins.stages.generators import multi_hop, prompt_template, question_styles
from embedrun_plugins.stages.generators.question_set import AskedPassage
from embedrun_plugins.stages.generators.question_settings import QuestionSettings
from embedrun_plugins.stages.texts.prompt_variables import fill


@dataclass(frozen=True)
class QuestionTask:
    """One request: the passages to ask about, mostly one, and the name of a style."""

    passages: tuple[AskedPassage, ...]
    style: str | None = None

    @property
    def metadata(self) -> dict[str, object]:
        """What its queries carry."""
        metadata: dict[str, object] = {STYLE: self.style} if self.style else {}
        return {**metadata, **({PASSAGES_NEEDED: len(self.passages)} if len(self.passages) > 1 else {})}


def tasks(
    stage: QuestionSettings, ctx: Context, passages: Sequence[AskedPassage], pool: Sequence[AskedPassage]
) -> list[QuestionTask]:
    """Return one task for each passage; the pool is what similar passages are sought in."""
    styles = question_styles.assigned(passages, stage.styles, ctx.seed)
    groups: list[tuple[AskedPassage, ...]] = [(passage,) for passage in passages]
    if stage.multi_hop:
        indices = multi_hop.chosen(passages, stage.multi_hop, ctx.seed)
        joint = multi_hop.grouped(ctx, [passages[index] for index in indices], pool, stage.multi_hop)
        for index, group in zip(indices, joint, strict=True):
            groups[index] = group
    return [QuestionTask(group, style) for group, style in zip(groups, styles, strict=True)]


def likely_tasks(stage: QuestionSettings, passages: Sequence[AskedPassage]) -> list[QuestionTask]:
    """Return tasks of the same number and about the same length, without looking for what is similar."""
    styles = question_styles.assigned(passages, stage.styles, 0)
    joint = set(multi_hop.chosen(passages, stage.multi_hop, 0)) if stage.multi_hop else set()
    size = stage.multi_hop.passages if stage.multi_hop else 1
    return [
        QuestionTask(tuple((*passages, *passages)[index : index + size]) if index in joint else (passage,), style)
        for index, (passage, style) in enumerate(zip(passages, styles, strict=True))
    ]


@dataclass(frozen=True)
class QuestionRequests:
    """The requests of a generator's tasks."""

    stage: QuestionSettings
    examples: tuple[str, ...]
    words: Mapping[str, str]

    @classmethod
    def of(cls, stage: QuestionSettings) -> QuestionRequests:
        """Read the files that the stage names. Raises DataError where one cannot be read."""
        examples = (*stage.examples, *lines_of("examples_file", stage.examples_file))
        listed = (line.partition(":") for line in lines_of("words_file", stage.words_file))
        words = {word.strip(): meaning.strip() for word, _, meaning in listed if word.strip()}
        return cls(stage, examples, {**stage.words, **words})

    def all(self, asked_about: Iterable[QuestionTask], attempt: int = 0) -> list[Request]:
        """Return a request for each task; a later attempt's differs, so that the reply may."""
        parameters = dict(self.stage.parameters())
        return [
            {
                "service": self.stage.type,
                "model": self.stage.model,
                "system": self.stage.system,
                "prompt": self._prompt(task, attempt),
                "parameters": parameters,
            }
            for task in asked_about
        ]

    def _prompt(self, task: QuestionTask, attempt: int) -> str:
        documents = [passage.document for passage in task.passages]
        style = self.stage.styles[task.style].instruction if task.style else ""
        words = question_styles.fitting(self.words, " ".join(document.full_text for document in documents))
        shown = [f"{word} ({meaning})" if meaning else word for word, meaning in words.items()]
        values = {
            "passage": self._passages(documents),
            "title": documents[0].title.strip(),
            "questions_per_passage": str(self.stage.questions_per_passage),
            "examples": "\n".join(self.examples),
            "language": self.stage.language or "",
            **({"style": style} if self.stage.styles else {}),
            **({"words": "\n".join(shown)} if self.words else {}),
        }
        again = f"\n\n(Request {attempt + 1}: the last reply held no question that is clear without the passage.)"
        text = fill(self._template(documents, style, shown), values).strip()
        return f"{text}{again}" if attempt else text

    def _template(self, documents: Sequence[Document], style: str, words: Sequence[str]) -> str:
        joint = len(documents) > 1
        written = self.stage.multi_hop.prompt if joint and self.stage.multi_hop else self.stage.prompt
        return written or prompt_template.builtin(
            titled=bool(documents[0].title.strip()) and not joint,
            examples=self.examples,
            language=self.stage.language,
            count=self.stage.questions_per_passage,
            json=self.stage.answers_json(),
            style=style,
            words=words,
            passages=len(documents),
        )

    def _passages(self, documents: Sequence[Document]) -> str:
        if len(documents) == 1:
            return self._cut(documents[0].text.strip())
        texts = [f"{document.title}\n{document.text}".strip() for document in documents]
        return "\n\n".join(f"<passage>\n{self._cut(text)}\n</passage>" for text in texts)

    def _cut(self, text: str) -> str:
        if len(text) <= self.stage.max_passage_characters:
            return text
        cut = text[: self.stage.max_passage_characters]
        return cut[: cut.rfind(" ")] if " " in cut[-200:] else cut


def lines_of(name: str, file: Path | None) -> tuple[str, ...]:
    """Return the lines of a text file that hold anything. Raises DataError where it cannot be read, or holds none."""
    if file is None:
        return ()
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: {file}: cannot be read as UTF-8 text ({error})") from error
    filled = tuple(line.strip() for line in lines if line.strip())
    if not filled:
        raise DataError(f"{name}: {file}: holds no line of text")
    return filled


def note(ctx: Context, asked_about: Sequence[QuestionTask], questions: Sequence[Sequence[str]]) -> None:
    """Note how many passages were asked about in each style, how many questions came of it, and how many join several.

    Notes nothing where neither styles nor joint questions are asked for.
    """
    if any(task.style for task in asked_about):
        styles = sorted({str(task.style) for task in asked_about})
        asked_count = Counter(task.style for task in asked_about)
        counts: Counter[Any] = Counter()
        for task, texts in zip(asked_about, questions, strict=True):
            counts[task.style] += len(texts)
        ctx.note("passages_by_style", {style: asked_count[style] for style in styles})
        ctx.note("questions_by_style", {style: counts[style] for style in styles})
    joint = [len(texts) for task, texts in zip(asked_about, questions, strict=True) if len(task.passages) > 1]
    if joint:
        ctx.note("multi_hop_groups", len(joint))
        ctx.note("multi_hop_questions", sum(joint))
