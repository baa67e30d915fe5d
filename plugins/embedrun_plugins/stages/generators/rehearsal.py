"""What answers in place of outside services: questions and vectors that are made here, of the texts alone."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from zlib import crc32

from embedrun.rehearsal import Rehearsal
from embedrun_plugins.services.language_models.llm_service import Reply, Request

_WORD = re.compile(r"[^\W\d_]{4,}")
_PASSAGE = re.compile(r"<passage>(.*)</passage>", re.DOTALL)
_ASKED = 3
"""Words in a question."""


@dataclass(frozen=True)
class Questions:
    """Answers as a language model would, with questions about words of what it is shown; costs nothing."""

    count: int
    as_json: bool = False

    def ask(self, request: Request) -> Reply:
        prompt = str(request["prompt"])
        marked = _PASSAGE.search(prompt)
        shown = marked[1] if marked else max(prompt.split("\n\n"), key=len)
        words = list(dict.fromkeys(_WORD.findall(shown))) or ["this"]
        rng = random.Random(crc32(prompt.encode()))  # noqa: S311  # no secret depends on it
        questions = []
        for _ in range(self.count):
            first, *others = rng.sample(words, min(_ASKED, len(words)))
            questions.append(f"What has {first} to do with {' and '.join(others) or 'everything else'}?")
        if self.as_json:
            return Reply(json.dumps({"questions": questions}))
        return Reply("\n".join(f"{number}. {question}" for number, question in enumerate(questions, 1)))


def note_unasked(rehearsal: Rehearsal, model: str) -> None:
    rehearsal.note(f"{model} is not called: its replies are made up here, from the recipe's own prompt")
