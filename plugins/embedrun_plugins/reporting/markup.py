"""HTML in which every text is escaped unless it was made here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_VOID = frozenset({"br", "hr", "link", "meta"})


class Markup(str):
    """Text that is HTML already; only `element` and `join` make it."""

    __slots__ = ()


Content = str | int | None | Iterable["Content"]


def element(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """Return an element; attributes have `_` for `-` and after a reserved word, and are left out where None."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(content)}</{name}>")


def join(content: Content) -> Markup:
    """Return content as HTML: text escaped, lists one after the other, None as nothing."""
    if content is None:
        return Markup()
    if isinstance(content, Markup):
        return content
    if isinstance(content, (str, int)):
        return text(str(content))
    return Markup("".join(join(part) for part in content))


def text(value: str) -> Markup:
    """Escape text, with a mark in the place of what no HTML file may hold."""
    return Markup(escape(_UNPRINTABLE.sub("\ufffd", value)))


def clipped(value: str, length: int) -> str:
    """Return text in one line of at most so many characters."""
    line = " ".join(value.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
