"""Characters of a text: what is invisible, unprintable or a variant of a plain one."""

from __future__ import annotations

import re
import unicodedata

_LINE_ENDS = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_INVISIBLE = re.compile(
    "[\0-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_CODES = re.compile("[\0\x01\x03-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]")
_MOST_CODES = 0.05
_LIGATURES = re.compile("[\ufb00-\ufb06]")
_INNER_SPACE = re.compile(r"(?<=\S)[ \t]+")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_SYMBOL_BULLETS = str.maketrans("\uf0b7\uf0a7\uf076", "•••")
"""Bullets of the fonts Symbol and Wingdings, which stand at private places."""


def clean(text: str) -> tuple[str, int]:
    """Return the text with plain line ends, spaces and letters, and how many unprintable characters it held.

    Removed are control and format characters, soft hyphens, byte order marks and lone surrogates; the joiners that
    scripts need stay. Ligatures become their letters, and letters are composed (NFC).
    """
    text = _SPACES.sub(" ", _LINE_ENDS.sub("\n", text))
    text, removed = _INVISIBLE.subn("", text)
    text = _LIGATURES.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text.translate(_SYMBOL_BULLETS))
    text = unicodedata.normalize("NFC", text)
    return _TRAILING.sub("", _INNER_SPACE.sub(" ", text)), removed


def is_undecoded(text: str) -> bool:
    """Say whether a PDF's page shows the numbers of its font's shapes in place of letters.

    Among them are control and private characters, which texts hardly hold; U+0002 is a hyphen of PDFium's.
    """
    codes = len(_CODES.findall(text))
    return codes > _MOST_CODES * len(text)


def letters(text: str) -> int:
    """Count letters and digits."""
    return sum(map(str.isalnum, text))
