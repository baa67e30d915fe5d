"""Words and sentences of a text, in any script, without a model."""

from __future__ import annotations

import re
from itertools import pairwise

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Japanese and Chinese letters: written without spaces, each counts as a word."""
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+")
_END = re.compile(
    r"(?<=[。！？])"  # noqa: RUF001  # full stops of Chinese and Japanese
    r"|\n\s*\n"
    # Text drawn from a PDF often lacks the space. A capital before the full stop is more likely an abbreviation (U.S.).
    r"|(?<=[^\WA-Z_][.!?])[\"'”’)\]]*\s*(?=[A-Z])"  # noqa: RUF001
    r"|(?<=[^A-Z][.!?…])[\"'”’)\]]*\s+(?=[^\W\da-z_]|[\"“(])"  # noqa: RUF001
)


def words(text: str) -> list[tuple[int, int]]:
    """Return where each word begins and ends."""
    return [match.span() for match in _WORD.finditer(text)]


def sentences(text: str) -> list[tuple[int, int]]:
    """Return where each sentence begins and ends, without white space around it."""
    cuts = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    spans = []
    for begin, end in pairwise(cuts):
        part = text[begin:end]
        start = begin + len(part) - len(part.lstrip())
        if part.strip():
            spans.append((start, start + len(part.strip())))
    return spans
