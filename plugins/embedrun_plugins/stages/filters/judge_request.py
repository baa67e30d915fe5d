"""What a judge is asked, and the score in its reply."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from embedrun_plugins.services.language_models.llm_service import Reply
from embedrun_plugins.services.language_models.refusals import refuses
from embedrun_plugins.stages.texts.prompt_variables import fill

SYSTEM = "You judge questions that were written to train a search engine on. You are strict, and fair."
PROMPT = """\
Here is a question that a person might ask a search engine, and {a_passage}:

<question>
{question}
</question>

{passage}

Rate the question from {lowest} to {highest}. {highest}: a person who has not seen the passage might well ask it, it \
is clear on its own, and {answered} in full. {lowest}: nobody would ask it, or it cannot be understood without the \
passage, or {not_answered}.

Reply with JSON and nothing else: {"score": a number from {lowest} to {highest}}
"""
VARIABLES: Mapping[str, str] = {
    "question": "the question",
    "passage": "the passage",
    "lowest": "the lowest score",
    "highest": "the highest score",
}
MEANT: Mapping[str, str] = {
    **dict.fromkeys(("query", "anchor", "q"), "question"),
    **dict.fromkeys(("context", "context_str", "chunk", "text", "document", "doc", "content", "answer"), "passage"),
    **dict.fromkeys(("min", "low"), "lowest"),
    **dict.fromkeys(("max", "high"), "highest"),
}
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_NUMBER = r"(-?\d+(?:\.\d+)?)(?:\s*(?:/|out of|von|sur)\s*(\d+))?"
_SAID = re.compile(
    rf"\b(?:score|rating|grade|bewertung)\b[\s\"'*_:=]*(?:is|of|ist)?[\s\"'*_:]*{_NUMBER}", re.IGNORECASE
)
_ALONE = re.compile(rf"^[\s\"'*_`]*{_NUMBER}[\s\"'*_`.]*$")
_ABSURD = 1e6
"""No scale reaches it, and larger integers may be no float."""
_NAMES = ("score", "rating", "grade")

Unjudged = Literal["malformed", "refused", "failed"]


@dataclass(frozen=True)
class QuestionScore:
    """What a judge made of one question: a score, or why there is none."""

    score: float | None
    why: Unjudged | None = None


def prompt(text: str | None, question: str, passages: Sequence[str], scale: tuple[int, int], attempt: int) -> str:
    """Return the prompt about a question and the passages that should answer it, together where there are several."""
    several = len(passages) > 1
    marked = "\n\n".join(f"<passage>\n{passage}\n</passage>" for passage in passages)
    values = {
        "question": question,
        "passage": marked if several or text is None else passages[0],
        "lowest": str(scale[0]),
        "highest": str(scale[1]),
        "a_passage": f"{len(passages)} passages that should answer it only together" if several else "a passage",
        "answered": "all passages together, but none alone, answer it" if several else "the passage answers it",
        "not_answered": "one of them alone answers it, or all of them do not"
        if several
        else "the passage does not answer it",
    }
    again = f"\n\n(Request {attempt + 1}: the last reply held no score from {scale[0]} to {scale[1]}.)"
    return fill(text or PROMPT, values).strip() + (again if attempt else "")


def verdict(reply: Reply | None, scale: tuple[int, int]) -> QuestionScore:
    """Read a reply. One that gives several different scores, or one beyond the scale, is malformed."""
    if reply is None:
        return QuestionScore(None, "failed")
    if reply.stop == "declined":
        return QuestionScore(None, "refused")
    text = _THOUGHT.sub("", reply.text).strip()
    scores = {score for score in _scores(text, scale[1]) if score is not None}
    if len(scores) == 1 and scale[0] <= min(scores) <= scale[1]:
        return QuestionScore(min(scores))
    return QuestionScore(None, "refused" if not scores and refuses(text) else "malformed")


def _scores(text: str, highest: int) -> Iterator[float | None]:
    """Yield the scores of the JSON objects in a reply; without any, those that its words name."""
    objects = list(_objects(text))
    named = [value for item in objects for name, value in item.items() if str(name).lower() in _NAMES]
    if named:
        yield from (_number(value, highest) for value in named)
        return
    alone = _ALONE.match(text)
    for match in [alone] if alone else _SAID.finditer(text):
        yield _out_of(match, highest)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    start = text.find("{")
    while start >= 0:
        try:
            value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if isinstance(value, dict):
                yield value
        start = text.find("{", end)


def _number(value: Any, highest: int) -> float | None:
    """Return a JSON value as a score; anything but a finite number is none, which NaN stands for."""
    if isinstance(value, str) and (match := _ALONE.match(value)):
        return _out_of(match, highest)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or abs(value) > _ABSURD
        or not math.isfinite(value)
    ):
        return math.inf
    return float(value)


def _out_of(match: re.Match[str], highest: int) -> float:
    return float(match[1]) if match[2] is None or int(match[2]) == highest else math.inf
