"""What is lost of texts that are longer than the trainer reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedrun_plugins.models.encode import distinct

_AT_A_TIME = 1000


@dataclass(frozen=True)
class Lengths:
    """Distinct texts and how many tokens each has, its prompt and special tokens among them."""

    texts: Sequence[str]
    tokens: np.typing.NDArray[np.int64]

    @classmethod
    def of(cls, tokenizer: Any, prompt: str, texts: Sequence[str]) -> Lengths:
        unique, _ = distinct(texts)
        counted: list[int] = []
        for start in range(0, len(unique), _AT_A_TIME):
            some = [prompt + text for text in unique[start : start + _AT_A_TIME]]
            counted += map(len, tokenizer(some, truncation=False, verbose=False)["input_ids"])
        return cls(unique, np.array(counted, dtype=np.int64))

    def shortest(self, count: int) -> list[str]:
        """Return the shortest texts that hold anything, shortest first."""
        order = np.argsort(self.tokens, kind="stable")
        return [text for index in order if (text := self.texts[index]).strip()][:count]

    def cut(self, limit: int) -> dict[str, float] | None:
        """Return the share of texts that are longer than the limit, and of all tokens that go unread; None where 0."""
        longer = self.tokens > limit
        if not longer.any():
            return None
        lost = (self.tokens[longer] - limit).sum()
        return {"texts": round(float(longer.mean()), 4), "tokens": round(float(lost / self.tokens.sum()), 4)}
