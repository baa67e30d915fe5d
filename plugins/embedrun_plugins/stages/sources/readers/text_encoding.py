"""Bytes of a text file as text, whatever wrote it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from embedrun.errors import DataError

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY = "windows-1252"
_MARK = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Decoded:
    """A file's text."""

    text: str
    replaced: int = 0
    """Places that are valid in no way, each of which stands as one replacement character."""
    guessed: bool = False
    """Whether it was read as Windows-1252, since it is not UTF-8 and says nothing of itself."""


def decoded(raw: bytes, declared: str | None = None) -> Decoded:
    """Decode by the byte order mark, else as declared, else as UTF-8.

    A file that is not UTF-8 and in which nothing beyond ASCII is valid UTF-8 is from an older system, and read as
    Windows-1252; in any other, what is invalid is replaced. Raises DataError where it is no text at all.
    """
    marked = next((name for mark, name in _BOMS if raw.startswith(mark)), None)
    if not marked and declared and codecs.lookup(declared).name != "utf-8":
        return _replacing(raw, declared)
    if not marked and b"\0" in raw:
        raise DataError("is not text: it holds zero bytes; if it is UTF-16 or UTF-32, name that under 'encoding'")
    try:
        return Decoded(raw.decode(marked or "utf-8"))
    except UnicodeDecodeError:
        content = _replacing(raw, marked or "utf-8")
    if marked or any(ord(character) > 127 and character != _MARK for character in content.text):  # noqa: PLR2004  # ASCII
        return content
    return Decoded(raw.decode(_LEGACY, errors="replace"), guessed=True)


def _replacing(raw: bytes, encoding: str) -> Decoded:
    try:
        return Decoded(raw.decode(encoding))
    except UnicodeDecodeError:
        text = raw.decode(encoding, errors="replace")
    return Decoded(text, replaced=text.count(_MARK))


def is_known(encoding: str) -> bool:
    """Say whether Python knows a text encoding of that name."""
    try:
        return codecs.lookup(encoding)._is_text_encoding  # noqa: SLF001  # there is no other way to tell
    except LookupError:
        return False
