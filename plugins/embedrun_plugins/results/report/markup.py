"""HTML in which every text is escaped unless it was made here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from embedrun_plugins.results.report import palette

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_VOID = frozenset({"br", "hr", "link", "meta"})


class Markup(str):
    """Text that is HTML already; only `element` and `join` make it."""

    __slots__ = ()


Content = str | int | None | Iterable["Content"]


def element(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """Return an element; attributes have `_` for `-` and after a reserved word, and are left out where None."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


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


POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the page may load: nothing. Should a hostile text ever get through, it could not do anything."""


def page(title: str, heading: Content, sections: Iterable[Markup]) -> str:
    """Return a complete document; sections without content are left out."""
    style = (Path(__file__).parent / "style.css").read_text("utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(palette.style() + style)),
    )
    body = element("body", element("header", heading), element("main", [part for part in sections if part]))
    return "<!doctype html>\n" + join([element("html", head, body, lang="en")]) + "\n"


def table(caption: str, header: Sequence[Content], rows: Iterable[Sequence[Content]], *, words: bool = False) -> Markup:
    """Return a table whose first column names the rows; other columns are figures, or `words`."""
    head = element("thead", element("tr", [element("th", cell, scope="col") for cell in header]))
    body = element("tbody", [_row(cells) for cells in rows])
    inside = element("table", element("caption", caption), head, body, class_="words" if words else None)
    # A frame that scrolls must be reachable by keyboard, and then needs a name.
    return element("div", inside, class_="scroll", role="region", aria_label=caption, tabindex=0)


def _row(cells: Sequence[Content]) -> Markup:
    return element("tr", element("th", cells[0], scope="row"), [element("td", cell) for cell in cells[1:]])


def folded(summary: str, *content: Content) -> Markup:
    """Return content that opens on a click."""
    return element("details", element("summary", summary), *content)


def section(name: str, heading: str, *content: Content) -> Markup:
    """Return a section with its heading; nothing where it has no content."""
    inside = [part for part in content if part]
    if not inside:
        return Markup()
    title = element("h2", heading, id=f"{name}-heading")
    return element("section", title, inside, id=name, aria_labelledby=f"{name}-heading")
