"""The lines of a paged document: which only repeat, which belong together, and which words they break."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

EDGE = 3
"""Lines at the top and at the bottom of a page that may be boilerplate."""
_MOST = 0.6
_PAGES = 3
"""Fewest pages on which a line can be called repeated."""
_FULL = 0.75
"""Share of the usual full line from which on a line has been broken, rather than ended."""
_LONG = 20
"""Characters; shorter lines do not tell how wide the text is."""
_NUMBER = re.compile(r"\d+|(?<![^\W\d_])[ivxlc]+(?![^\W\d_])")
_ITEM = re.compile(r"\s*(?:[•◦▪■●‣·\u2013\u2014*-]\s|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]+)[.)]\s)")
_ENDS = re.compile(r"""[.!?:;][)\]"'\u201d\u2019»]*$""")
_BROKEN_WORD = re.compile(r"[^\W\d_][-\u2010]$")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_MARKED = re.compile("([^\\W\\d_]+)?\x02\\s*([^\\W\\d_]+)?")
MARK = "\x02"
"""Stands for a hyphen at a line's end, which may belong to the word or not; PDFium writes it, too."""
SOFT_HYPHEN = "\xad"
"""At a line's end it breaks a word, to which it never belongs."""


def without_repeated(pages: Sequence[Sequence[str]]) -> tuple[list[list[str]], int]:
    """Return the pages' lines without running heads, feet and page numbers, and how many lines those were.

    A line is one if it stands, but for its numbers, among the first or the last three on most odd or most even pages.
    """
    sides = [pages[::2], pages[1::2]]
    repeated = [_repeated(side) for side in sides]
    kept, removed = [], 0
    for number, page in enumerate(pages):
        edge, shapes = _edges(page), repeated[number % 2]
        left = [line for index, line in enumerate(page) if not (index in edge and _shape(line) in shapes)]
        removed += len(page) - len(left)
        kept.append(left)
    return kept, removed


def _repeated(pages: Sequence[Sequence[str]]) -> set[str]:
    written = [page for page in pages if page]
    counts = Counter(shape for page in written for shape in {_shape(page[index]) for index in _edges(page)})
    fewest = max(_PAGES, _MOST * len(written))
    return {shape for shape, count in counts.items() if count >= fewest}


def _edges(page: Sequence[str]) -> set[int]:
    indices = range(len(page))
    return {*indices[:EDGE], *indices[-EDGE:]}


def _shape(line: str) -> str:
    return _NUMBER.sub("#", "".join(line.casefold().split()))


def usual_width(pages: Iterable[Sequence[str]]) -> int:
    """Return the length of a full line: nine of ten longer lines are no longer."""
    lengths = sorted(len(line) for page in pages for line in page if len(line) >= _LONG)
    return lengths[len(lengths) * 9 // 10] if lengths else _LONG


def paragraphs(lines: Sequence[str], width: int) -> str:
    """Join the lines that were broken to fit the page; a hyphen at a break becomes `MARK`, a soft one goes."""
    pieces = [lines[0].strip()] if lines else []
    for last, line in pairwise(lines):
        if last.endswith(SOFT_HYPHEN):
            pieces[-1] = pieces[-1].removesuffix(SOFT_HYPHEN)
            pieces.append(line.strip())
        elif not goes_on(last, line, width):
            pieces += ["\n", line.strip()]
        elif _BROKEN_WORD.search(last) and line.lstrip()[0].islower():
            pieces[-1] = pieces[-1][:-1]
            pieces += [MARK, line.strip()]
        else:
            pieces += [" ", line.strip()]
    return "".join(pieces)


def goes_on(last: str, line: str, width: int) -> bool:
    """Say whether a line continues the one before; neither is blank."""
    if _ITEM.match(line):
        return False
    full = len(last) >= _FULL * width
    if _ENDS.search(last.rstrip()):
        return full and len(line) >= _FULL * width
    # pypdf breaks lines in the middle, and goes on with a space.
    return full or line[0] == " " or line.lstrip()[0].islower()


def words_of(text: str) -> Counter[str]:
    """Count a text's words, in lower case; compounds with hyphens count as one word, parts at a `MARK` not at all."""
    return Counter(_WORD.findall(_MARKED.sub(" ", text).lower()))


def unbroken(text: str, words: Counter[str]) -> tuple[str, int]:
    """Settle each `MARK`: words that the document writes without a hyphen are joined; return how many were.

    A hyphen stays where the document writes the word with it, or knows both parts but not the whole.
    """
    joined = 0

    def settle(match: re.Match[str]) -> str:
        nonlocal joined
        first, second = match[1] or "", match[2] or ""
        if not first or not second or not _is_one_word(first.lower(), second.lower(), words):
            return f"{first}-{second}"
        joined += 1
        return first + second

    return _MARKED.sub(settle, text), joined


def _is_one_word(first: str, second: str, words: Counter[str]) -> bool:
    whole, compound = words[first + second], words[f"{first}-{second}"]
    if whole or compound:
        return whole > compound
    return not (words[first] and words[second])


_GLUED = 0.005
"""Share of words above which a reader is to blame. Of two filings of 240 and 300 pages, compounds such as `shareholder`
are 0.05%; read by pypdf, which loses spaces at line ends there, 1.1% and 1.4% are suspected."""
_KNOWN = 10
_PART, _SEEN = 3, 2


def run_together(words: Counter[str]) -> list[str]:
    """Return words that seem to be two without a space, the likeliest first; none where few are.

    Suspected is a rare word both of whose parts are frequent ones.
    """
    frequent = {word: count for word, count in words.items() if count >= _KNOWN and len(word) >= _PART}
    suspected = {word: likely for word, count in words.items() if count <= _SEEN and (likely := _parts(word, frequent))}
    enough = sum(words[word] for word in suspected) > _GLUED * words.total()
    return sorted(suspected, key=lambda word: (-suspected[word], word)) if enough else []


def _parts(word: str, frequent: Mapping[str, int]) -> int:
    """Return how often the rarer of a word's two parts is seen elsewhere, 0 where it has no such parts."""
    cuts = range(_PART, len(word) - _PART + 1)
    return max((min(frequent.get(word[:cut], 0), frequent.get(word[cut:], 0)) for cut in cuts), default=0)
