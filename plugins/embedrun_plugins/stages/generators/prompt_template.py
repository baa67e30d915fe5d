"""The prompt that asks for questions: a text with variables in single braces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from embedrun.errors import suggest

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
_BRACES = re.compile(r"(\{+)([ \w.\-:!\[\]$]+)(\}+)")
"""What looks like a variable; braces around anything else, as in JSON, are text."""

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
        used = set()
        for match in _BRACES.finditer(self.text):
            used.add(match[2].strip())
            if fault := self._fault(match):
                yield f"{self._place(match.start())}: {fault}"
        yield from self._missing(used)

    def _fault(self, match: re.Match[str]) -> str | None:
        name = match[2].strip()
        meant = name if name in VARIABLES else _MEANT.get(name.lower())
        if meant is None or match[0] != f"{{{meant}}}":
            hint = f"; did you mean '{{{meant}}}'?" if meant else suggest(name, VARIABLES)
            if meant and name in VARIABLES:
                return f"a variable is its exact name in single braces: not '{match[0]}'{hint}"
            return f"there is no variable '{match[0]}', so the model would see it unchanged{hint}"
        return None if getattr(self, meant, True) else _UNSET[meant]

    def _missing(self, used: set[str]) -> Iterator[str]:
        needed = {
            "passage": True,
            "questions_per_passage": True,
            "examples": self.examples,
            "language": self.language,
            "style": self.style,
            "words": self.words,
        }
        for name, wanted in needed.items():
            meant = {_MEANT.get(word.lower(), word) for word in used}
            if wanted and name not in meant:
                yield f"'{{{name}}}' is not used, so the model would not see {VARIABLES[name]}; add it"

    def _place(self, start: int) -> str:
        before = self.text[:start]
        return f"line {before.count(chr(10)) + 1}, column {start - before.rfind(chr(10))}"


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables in one pass, so that braces in a passage stay what they are."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)


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
