"""The prompt that asks for questions: a text with variables in single braces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from embedrun_plugins.stages.texts.prompt_variables import PromptVariables, fill

VARIABLES: Mapping[str, str] = {
    "passage": "the passage's text",
    "title": "its title, which may be empty",
    "questions_per_passage": "how many questions are wanted",
    "examples": "the examples, one a line",
    "language": "the language to ask in",
    "style": "how to ask, as 'styles' says",
    "words": "the words of the house, one a line",
}
"""What a template may name, and what that becomes."""
_MEANT: Mapping[str, str] = {
    **dict.fromkeys(("context", "context_str", "chunk", "text", "document", "doc", "content", "input"), "passage"),
    **dict.fromkeys(
        (
            *("num_questions", "num_questions_per_chunk", "n_questions", "number_of_questions", "questions_per_chunk"),
            *("n", "k", "num", "number", "count", "questions"),
        ),
        "questions_per_passage",
    ),
    **dict.fromkeys(("example", "few_shot", "fewshot", "few_shot_examples", "shots"), "examples"),
    **dict.fromkeys(("lang", "locale"), "language"),
}
"""Names that other tools use."""
_UNSET: Mapping[str, str] = {
    "examples": "'{examples}' is used, but there are none; give 'examples' or 'examples_file', or remove it",
    "language": "'{language}' is used, but 'language' is not set; set it, or remove it",
    "style": "'{style}' is used, but there are no styles; give 'styles', or remove it",
    "words": "'{words}' is used, but there are none; give 'words' or 'words_file', or remove it",
}
ASKING = """\
Here is a passage{titled}:

<passage>
{passage}
</passage>

Write {questions_per_passage} that a person might ask a search engine without having seen the passage, and that the \
passage answers. Each question must be clear on its own: name the company, product, person or year that it is about, \
and mention neither the passage nor a text, document or author. Ask about different facts. {language}{examples}
"""
LIST = "Reply with a numbered list of the questions and nothing else."
JOINT = """\
Here are {passages} passages:

{passage}

Write {questions_per_passage} that a person might ask a search engine without having seen the passages, and that only \
all of them together answer: whoever lacks one of the passages must be unable to answer. Each question must be clear \
on its own: name the companies, products, persons or years that it is about, and mention neither the passages nor a \
text, document or author. {language}{examples}
"""
JSON = 'Reply with JSON and nothing else: {"questions": ["…", "…"]}'


@dataclass(frozen=True)
class Template:
    """A user's own prompt, and what it will be filled with."""

    text: str
    examples: bool
    """Whether there are examples to show."""
    language: bool
    """Whether a language is asked for."""
    style: bool = False
    """Whether questions are asked in styles."""
    words: bool = False
    """Whether the house has words of its own."""

    def faults(self) -> Iterator[str]:
        """Say what is wrong: an unknown variable, one that is missing, or one that there is no value for."""
        unset = {name: sentence for name, sentence in _UNSET.items() if not getattr(self, name)}
        needed = ("passage", "questions_per_passage", *(name for name in _UNSET if name not in unset))
        return PromptVariables(VARIABLES, _MEANT, needed, unset).faults(self.text)


def builtin(
    *,
    titled: bool,
    examples: tuple[str, ...],
    language: str | None,
    count: int,
    json: bool,
    style: str = "",
    words: Sequence[str] = (),
    passages: int = 1,
) -> str:
    """Return the prompt that is used where the user gives none, with `{passage}` and `{title}` left to fill."""
    shown = f"\n\nHow to ask: {style}" if style else ""
    if words:
        shown += f"\n\nWhere they fit what is asked, use these words, as people here do: {'; '.join(words)}."
    if examples:
        lines = "\n".join(f"- {example}" for example in examples)
        shown += f"\n\nThese are questions that real users asked; write in their style, at their length:\n{lines}"
    values = {
        "titled": ' from "{title}"' if titled else "",
        "questions_per_passage": "1 question" if count == 1 else f"{count} questions",
        "language": f"Ask in {language}." if language else "Ask in the language of the passage.",
        "examples": shown,
        "passages": str(passages),
    }
    return f"{fill(JOINT if passages > 1 else ASKING, values)}\n{JSON if json else LIST}"
