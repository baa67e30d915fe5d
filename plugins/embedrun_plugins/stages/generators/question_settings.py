"""What decides how a language model is asked for questions, and so what is paid for anew where it changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from embedrun.context import InputPath
from embedrun.stages import Generator
from embedrun_plugins.stages.generators import prompt_template
from embedrun_plugins.stages.generators.multi_hop import MultiHop
from embedrun_plugins.stages.generators.question_styles import Styles, Words, unset

SYSTEM = "You write the questions that people ask a search engine, so that a retrieval model can be trained on them."


class QuestionSettings(Generator):
    """A generator's prompt, styles and parameters."""

    model: str = Field(min_length=1)
    """The model's id, as the service names it."""
    questions_per_passage: int = Field(2, ge=1, le=50)
    """Questions asked for; what is no question is left out, so there may be fewer."""
    prompt: str | None = None
    """The prompt, with {passage} and {questions_per_passage} where these belong, and {examples} and {language} where
    they are given; {title} may be used, too. Braces around anything else are text. By default a prompt that asks for
    questions which are clear without the passage."""
    system: str = SYSTEM
    """The system prompt; "" for a model that takes none."""
    language: str | None = Field(None, min_length=1)
    """Language to ask in, such as German; by default the passage's."""
    examples: tuple[str, ...] = ()
    """Questions that your users really asked, for the model to write in their style."""
    examples_file: InputPath | None = None
    """A text file with more of them, one a line."""
    styles: Styles = Field(default={}, exclude_if=unset)
    """How to ask, and the share of the passages for each: {factual: 0.5, how_to: 0.2, keyword: 0.2, long_winded: 0.1},
    or a list with equal shares. Known are factual, how_to, comparison, keyword and long_winded; one of your own is a
    name with its instruction, as in {complaint: {share: 0.2, instruction: Write as a customer who …}}. Each query keeps
    the name of its style."""
    words: Words = Field(default={}, exclude_if=unset)
    """Words of your house for the model to use where they fit: a list, or each with its meaning, as in {AFS: available
    for sale}. Of more than 20, a prompt shows those that the passage holds, or whose meaning it holds."""
    words_file: InputPath | None = Field(None, exclude_if=unset)
    """A text file with more of them, one a line, with its meaning after a colon where it has one."""
    multi_hop: MultiHop | None = Field(None, exclude_if=unset)
    """Questions that several similar passages answer only together, each judged relevant: {passages: 2, share: 0.2}. By
    default none."""
    max_passage_characters: int = Field(20_000, ge=200)
    """Longer passages are cut there, at a space, for the model to read them at all. 20,000 are about 5,000 tokens."""
    max_tokens: int = Field(512, ge=16)
    """Tokens of a reply at most."""
    temperature: float | None = Field(0.7, ge=0, le=2)
    """How freely the model writes; null leaves it to the service, which some models demand."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Share of the likeliest tokens to choose from; by default left to the service."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request, as the service names them."""

    def parameters(self) -> Mapping[str, Any]:
        """Return what is sent beside the prompts and can change the answer, as JSON."""
        values = {name: getattr(self, name) for name in ("max_tokens", "temperature", "top_p")}
        return {name: value for name, value in (values | {"extra": self.extra or None}).items() if value is not None}

    def answers_json(self) -> bool:
        """Say whether replies are JSON."""
        return False

    def inputs(self) -> Iterable[Path]:
        return filter(None, (self.examples_file, self.words_file))

    def uses_model(self) -> bool:
        return self.multi_hop is not None and self.multi_hop.by == "model"

    def needs(self) -> Mapping[str, str]:
        by_words = self.multi_hop is not None and self.multi_hop.by == "bm25"
        return {**self.packages, **({"bm25s": "mining"} if by_words else {})}

    def faults(self) -> Iterable[str]:
        joint = self.multi_hop.prompt if self.multi_hop else None
        prompts = {"prompt": self.prompt, "multi_hop.prompt": joint}
        shown = {
            "examples": bool(self.examples or self.examples_file),
            "language": self.language is not None,
            "style": bool(self.styles),
            "words": bool(self.words or self.words_file),
        }
        for name, text in prompts.items():
            if text is not None:
                yield from (f"{name}: {fault}" for fault in prompt_template.Template(text, **shown).faults())
