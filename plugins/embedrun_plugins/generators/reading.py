"""Deciding what of a reply becomes a question, and counting the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from embedrun_plugins.generators import replies, screening
from embedrun_plugins.generators.questions import same_key
from embedrun_plugins.generators.service import Reply

_COUNTED_AS = {"meta_question": "meta_questions", "refusal": "refusals", "not_a_question": "no_questions"}
_COUNTED = ("declined", "duplicates", "unreadable", *_COUNTED_AS.values())


@dataclass
class Reader:
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
        found = replies.questions(reply.text, truncated=reply.stop == "length")
        if found:
            return self._chosen(found) or ([] if last else None)
        refused = screening.refuses(reply.text)
        self.tally["refusals" if refused else "unreadable"] += 1
        return [] if refused or last else None

    @property
    def summary(self) -> str:
        """What was left out, in words."""
        return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in sorted(self.tally.items()) if count)

    def _chosen(self, found: list[str]) -> list[str]:
        kept: dict[str, str] = {}
        for text in found:
            verdict = screening.verdict(text)
            if verdict == "question" or (verdict == "meta_question" and self.keep_meta_questions):
                self.tally["duplicates"] += same_key(text) in kept
                kept.setdefault(same_key(text), text)
            else:
                self.tally[_COUNTED_AS[verdict]] += 1
        return list(kept.values())[: self.wanted]
