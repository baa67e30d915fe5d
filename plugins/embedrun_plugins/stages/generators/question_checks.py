# ruff: noqa: RUF001  # other scripts' quotes and question marks are meant
"""Sorting out what a model wrote instead of a question that a user might ask."""

from __future__ import annotations

import re
from typing import Literal

from embedrun_plugins.services.language_models.refusals import refuses

Verdict = Literal["question", "meta_question", "refusal", "not_a_question"]

_SHORTEST = 8
_LONGEST = 600
"""Characters."""

_WORK = r"(?:passage|text|excerpt|paragraph|snippet|extract|chunk)"
"""What nothing but a piece of writing is called."""
_VAGUE = r"(?:document|article|section|information|context)"
"""What may be a thing of the world: the document retention policy, the Information Act."""
_GIVEN = r"(?:given|provided|above|following|preceding|present|current|same|accompanying)"
_META = re.compile(
    rf"""\b(?:
        (?:according\s+to|based\s+(?:up)?on|as\s+per|(?:as|is|are|was|were)\s+\w+\s+(?:in|by)|(?:mentioned|described
            |stated|discussed|given|provided|listed|outlined|presented|contained|referenced|highlighted)\s+(?:in|by)
            |from|in|of|does|do|did)
        \s+(?:the|this|that|these)\s+(?:{_GIVEN}\s+)?
        (?:{_WORK}\b(?!\s+of\b) | {_VAGUE}(?=\s*(?:$|[,;:?.)])|\s+(?:and|or|to|that|which|is|are|was|were|as|for|with|by
            |in|on|regarding|concerning|about|above|below|provided|given|when|where|how|what|who|why|does|do|did)\b))
      | (?:does|do|did)\s+(?:the|this)\s+(?:document|article|section)\s+(?:\w+ly\s+)?(?:mention|say|state|describe
            |suggest|discuss|refer|imply|indicate|explain|provide|define|address|clarify|outline|specify|cover|list|require)\b
      | (?:the|this)\s+(?:{_GIVEN}\s+)?context\s+information\b | the\s+{_GIVEN}\s+(?:{_VAGUE}|{_WORK})\b
      | (?:the|this)\s+(?:excerpt|snippet)\b | (?:the|this)\s+passage\b(?!\s+of\b) | the\s+text\s+above\b
      | this\s+(?:text|paragraph|context|chunk|document|section)\b
      | (?:the|this)\s+author(?:['’]s|s)?\b(?!\s+of\b)
      | (?:laut|gemäß)\s+(?:dem\s+|diesem\s+)?(?:text|abschnitt|dokument) | (?:im|in\s+diesem)\s+(?:text|abschnitt)
      | (?:selon|d['’]après|dans)\s+(?:le|ce|cet)\s+(?:texte|passage|extrait|document)
      | (?:según|en)\s+(?:el|este)\s+(?:texto|pasaje|fragmento) | (?:secondo|in)\s+(?:il|questo)\s+(?:testo|brano)
    )""",
    re.VERBOSE | re.IGNORECASE,
)


def verdict(text: str) -> Verdict:
    """Say what a text that was read as a question is.

    A meta-question can only be asked by who has the passage before them ("according to the text, …"). What has fewer
    than 8 or more than 600 characters, or a single word, is no question.
    """
    if refuses(text):
        return "refusal"
    spaced = len(text.split()) > 1 or not text.isascii()  # Chinese and Japanese need no spaces
    if not spaced or not (_SHORTEST <= len(text) <= _LONGEST if text.isascii() else len(text) <= _LONGEST):
        return "not_a_question"
    return "meta_question" if _META.search(text) else "question"
