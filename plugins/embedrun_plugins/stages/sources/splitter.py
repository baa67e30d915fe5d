"""Splitting documents into passages of a number of tokens, at sentences where that can be."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from embedrun_plugins.stages.sources.readers import Block, DocumentContent
from embedrun_plugins.stages.sources.readers.characters import clean, letters

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BLANK = re.compile(r"\n{3,}")
_LOWEST = 7
"""One below the lowest level of headings."""
_SENTENCE_END = re.compile(r"""[.!?:;][)\]"'\u201d\u2019»]*$""")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document."""

    text: str
    section: str = ""
    """The heading under which most of it stands."""
    pages: tuple[int, ...] = ()


@dataclass
class Manuscript:
    """A document's clean text in one piece, and where its pages and sections begin in it."""

    text: str = ""
    pages: list[tuple[int, int]] = field(default_factory=list)
    """Offset and number of each page."""
    sections: list[tuple[int, str]] = field(default_factory=list)
    """Offset and heading of each section, in order."""
    unprintable: int = 0
    """Characters that were removed."""

    def passage(self, start: int, text: str) -> Passage:
        end = start + len(text)
        pages = tuple(dict.fromkeys(number for number, _, _ in _within(self.pages, start, end)))
        shares: Counter[str] = Counter()
        for heading, first, last in _within(self.sections, start, end):
            shares[heading] += last - first
        section = max(shares, key=lambda heading: shares[heading]) if shares else ""
        return Passage(_BLANK.sub("\n\n", text), section, pages)


def _within(marks: Sequence[tuple[int, Any]], start: int, end: int) -> Iterator[tuple[Any, int, int]]:
    """Yield what each mark names with the part of the range that it covers."""
    for number in range(max(0, bisect_right(marks, start, key=itemgetter(0)) - 1), len(marks)):
        offset, named = marks[number]
        if offset >= end:
            return
        until = marks[number + 1][0] if number + 1 < len(marks) else end
        if min(until, end) > max(offset, start):
            yield named, max(offset, start), min(until, end)


def manuscript(reading: DocumentContent) -> Manuscript:
    """Put a document's blocks together.

    The higher a heading, the more blank lines stand before it: that is where the splitter prefers to split.
    """
    script = Manuscript()
    pieces: list[str] = []
    length = 0
    last: Block | None = None
    for block in reading.blocks:
        text, removed = clean(block.text)
        script.unprintable += removed
        text = text.strip("\n") if reading.markdown else text.strip()
        if not text:
            continue
        between = _between(last, block, pieces[-1], text) if last else ""
        pieces += [between, text]
        length += len(between)
        if block.page is not None:
            script.pages.append((length, block.page))
        if block.heading:
            script.sections.append((length, clean(block.heading)[0]))
        length += len(text)
        last = block
    script.text = "".join(pieces)
    return script


def _between(last: Block, block: Block, before: str, text: str) -> str:
    if block.level:
        return "\n" * (2 + _LOWEST - block.level)
    if block.page is not None:
        return "\n" if _SENTENCE_END.search(before) or not text[0].islower() else " "
    return "\n" if text.startswith("- ") and not last.level else "\n\n"


class Splitter:
    """Splits texts into pieces of at most `size` tokens; None leaves them whole."""

    def __init__(self, tokenizer: Tokenizer, size: int | None, overlap: int) -> None:
        self.plain = self.markdown = None
        if size is not None:
            from semantic_text_splitter import MarkdownSplitter, TextSplitter

            self.plain = TextSplitter.from_huggingface_tokenizer(tokenizer, size, overlap)
            self.markdown = MarkdownSplitter.from_huggingface_tokenizer(tokenizer, size, overlap)

    def passages(self, script: Manuscript, *, markdown: bool, shortest: int) -> tuple[list[Passage], int]:
        """Return the passages with at least `shortest` letters and digits, and how many others there are."""
        splitter = self.markdown if markdown else self.plain
        pieces = splitter.chunk_indices(script.text) if splitter else [(0, script.text)]
        kept = [script.passage(start, text) for start, text in pieces if letters(text) >= shortest]
        return kept, len(pieces) - len(kept)
