# ruff: noqa: RUF001  # other scripts' quotes and question marks are meant
"""Reading the questions out of a model's reply, however it is laid out."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from embedrun_plugins.services.language_models.llm_service import Reply
from embedrun_plugins.services.language_models.refusals import refuses
from embedrun_plugins.stages.generators import question_checks
from embedrun_plugins.stages.generators.question_set import same_key

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_MARK = re.compile(
    r"""^[\s>*_#]*(?:
        [-•‣–—·*+]\s+                                       # a bullet
      | \(?\d{1,2}\s*[.):\]]\)?[\s*_]*(?=\D)                # 1. 1) (1) 1:
      | (?:Q|Question|Query|Frage|Pregunta|Domanda)\s*\#?\s*\d{0,2}\s*[.):\]-][\s*_]*   # Q1: Question 2.
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_ANSWER = re.compile(r"^[\s>*_#]*(?:A|Answer|Antwort|Explanation|Note)\s*\d{0,2}\s*[*_]*\s*:", re.IGNORECASE)
_INLINE = re.compile(r"(?<=[?？؟:])\s+(?=\(?\d{1,2}[.)]\s)")
_QUOTES = "\"'“”„«»‘’`*_ \t"
_ASKS = ("?", "？", "؟")
_NAMES = ("question", "query", "q", "text", "content")
_TRAILING_COMMA = re.compile(r",(\s*[\]}])")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*[?？؟])"')


def questions(reply: str, *, truncated: bool = False) -> list[str]:
    """Return the questions of a reply in their order, without marks and quotes: JSON or a list, in prose or fences.

    Of a truncated reply, a last item that ends in the middle is left out. Returns an empty list where none is found.
    """
    text = _THOUGHT.sub("", reply).strip()
    texts = list(_from_json(text)) or _from_lines(text)
    if truncated and texts and not texts[-1].endswith(_ASKS):
        texts.pop()
    return texts


def _from_json(text: str) -> Iterator[str]:
    """Yield the questions of the first JSON value that holds any."""
    repaired = _TRAILING_COMMA.sub(r"\1", text)
    for start in (match.start() for match in re.finditer(r"[\[{]", repaired)):
        try:
            value, _ = json.JSONDecoder(strict=False).raw_decode(repaired, start)
        except (ValueError, RecursionError):
            continue
        if texts := [clean for item in _strings(value) if (clean := _clean(item))]:
            yield from texts
            return
    if repaired.lstrip("`json \n").startswith(("[", "{")):  # cut off before its end
        yield from (_clean(json.loads(f'"{match[1]}"', strict=False)) for match in _STRING.finditer(repaired))


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts of a list, or of an object's list, or of its question."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, (list, dict))]
        named = [value[name] for name in value if str(name).lower() in _NAMES and isinstance(value[name], str)]
        numbered = [item for name, item in value.items() if isinstance(item, str) and re.search(r"\d$", str(name))]
        interrogative = [item for item in value.values() if isinstance(item, str) and item.rstrip().endswith(_ASKS)]
        for item in lists or named or numbered or interrogative:
            yield from _strings(item)


def _from_lines(text: str) -> list[str]:
    """Return the marked lines; where none is marked, those that end like a question."""
    lines = [part for line in text.splitlines() for part in _INLINE.split(line) if part.strip(_QUOTES)]
    lines = [line for line in lines if not _ANSWER.match(line) and not line.lstrip().startswith("```")]
    marked: list[str] = []
    for line in lines:
        rest = _unmarked(line)
        if rest is not None and not rest.rstrip("*_ ").endswith(":"):
            marked.append(rest)
        elif rest is None and marked and line[0].isspace() and not marked[-1].endswith(_ASKS):
            marked[-1] += f" {line.strip()}"
    plain = [line for line in lines if line.rstrip(_QUOTES + ",").endswith(_ASKS)]
    return [clean for item in marked or plain if (clean := _clean(item))]


def _unmarked(line: str) -> str | None:
    """Return a line without its bullet, number or label, or None where it has none."""
    rest = line
    while match := _MARK.match(rest):
        rest = rest[match.end() :]
    return None if rest == line else rest


def _clean(item: str) -> str:
    item = " ".join(item.split())
    return (_unmarked(item) or item).strip(_QUOTES + ",")


_COUNTED_AS = {"meta_question": "meta_questions", "refusal": "refusals", "not_a_question": "no_questions"}
_COUNTED = ("declined", "duplicates", "unreadable", *_COUNTED_AS.values())


@dataclass
class ReplyReader:
    """Reads replies, and counts by name what was left out."""

    wanted: int
    keep_meta_questions: bool
    tally: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_COUNTED, 0)))

    def read(self, reply: Reply | None, *, last: bool) -> list[str] | None:
        """Return the questions of a reply, none where it failed or was refused.

        Returns None where nothing in it can be used and, unless this was the last attempt, it is worth asking again.
        """
        if reply is None:
            return []
        if reply.stop == "declined":
            self.tally["declined"] += 1
            return []
        texts = questions(reply.text, truncated=reply.stop == "length")
        if texts:
            return self._chosen(texts) or ([] if last else None)
        refused = refuses(reply.text)
        self.tally["refusals" if refused else "unreadable"] += 1
        return [] if refused or last else None

    @property
    def summary(self) -> str:
        """What was left out, in words."""
        return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in sorted(self.tally.items()) if count)

    def _chosen(self, texts: list[str]) -> list[str]:
        kept: dict[str, str] = {}
        for text in texts:
            verdict = question_checks.verdict(text)
            if verdict == "question" or (verdict == "meta_question" and self.keep_meta_questions):
                self.tally["duplicates"] += same_key(text) in kept
                kept.setdefault(same_key(text), text)
            else:
                self.tally[_COUNTED_AS[verdict]] += 1
        return list(kept.values())[: self.wanted]
