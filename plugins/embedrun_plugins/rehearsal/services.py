"""What answers in place of outside services: questions and vectors that are made here, of the texts alone."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

from embedrun_plugins.generators.service import Reply, Request

if TYPE_CHECKING:
    from embedrun.artifacts import Role
    from embedrun_plugins.embedders.service import Answer

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
        chance = random.Random(crc32(prompt.encode()))  # noqa: S311  # no secret depends on it
        asked = []
        for _ in range(self.count):
            first, *others = chance.sample(words, min(_ASKED, len(words)))
            asked.append(f"What has {first} to do with {' and '.join(others) or 'everything else'}?")
        if self.as_json:
            return Reply(json.dumps({"questions": asked}))
        return Reply("\n".join(f"{number}. {question}" for number, question in enumerate(asked, 1)))


@dataclass(frozen=True)
class Vectors:
    """Embeds a text by its words, each of which counts in one dimension, so that like texts have like vectors."""

    dimensions: int
    most_texts: int = 32
    most_letters: int | None = None

    def identity(self, role: Role) -> dict[str, Any]:  # noqa: ARG002  # both are read alike
        return {"service": "rehearsal", "dimensions": self.dimensions}

    def open(self) -> None:
        """Be ready: there is nothing to connect to."""

    def ask(self, texts: Sequence[str], role: Role) -> Answer:  # noqa: ARG002
        from embedrun_plugins.embedders.service import Answer

        return Answer([self._vector(text) for text in texts])

    def _vector(self, text: str) -> list[float]:
        found = [0.0] * self.dimensions
        for word in text.lower().split() or [text]:
            found[crc32(word.encode()) % self.dimensions] += 1.0
        return found
