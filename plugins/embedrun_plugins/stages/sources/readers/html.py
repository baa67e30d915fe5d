"""HTML pages: what is to be read on them, without menus and scripts."""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.readers import Block, DocumentContent, first_heading
from embedrun_plugins.stages.sources.readers.text_encoding import is_known

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag
    from bs4.element import PageElement

_LEFT_OUT = re.compile(
    "head|script|style|noscript|template|nav|aside|footer|svg|math|iframe|object|button|select|dialog"
)
_BREAKS = re.compile(
    "address|article|blockquote|body|caption|d[dlt]|details|div|fieldset|figcaption|figure|form|header|hr|li|main|ol|p|pre"
    "|section|summary|table|ul"
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SPACE = re.compile(r"[ \t\r\n\f]+")
_HEAD = 2048
"""Bytes in which a page says what its encoding is (HTML standard: 1024)."""
_DECLARED = re.compile(rb"""<(?:meta[^>]+charset|\?xml[^>]+encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)

_MEANT = {"iso8859-1": "windows-1252", "ascii": "windows-1252"}


def declared_encoding(raw: bytes) -> str | None:
    """Return the encoding that a page means by the name that it gives, where Python knows it.

    As the HTML standard has it, a page whose bytes spell that it is UTF-16 is UTF-8, and Latin-1 is Windows-1252.
    """
    match = _DECLARED.search(raw[:_HEAD])
    name = match[1].decode("ascii") if match else ""
    if not name or not is_known(name):
        return None
    name = codecs.lookup(name).name
    return "utf-8" if name.startswith(("utf-16", "utf-32")) else _MEANT.get(name, name)


def read(text: str) -> DocumentContent:
    """Return the blocks of a page's `main` part where it has one, else of its body; a table's row is a line.

    Raises DataError where it cannot be parsed.
    """
    soup = _parsed(text)
    title = _SPACE.sub(" ", soup.title.get_text()).strip() if soup.title else ""
    page = _Page()
    for name, piece, opens in _events(_root(soup)):
        page.add(name, piece, opens=opens)
    page.finish()
    return DocumentContent(page.blocks, first_heading(page.blocks) or title)


def _parsed(text: str) -> BeautifulSoup:
    from bs4 import BeautifulSoup, ParserRejectedMarkup, UnusualUsageWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusualUsageWarning)
        try:
            return BeautifulSoup(text, "lxml")
        except ParserRejectedMarkup as error:
            raise DataError(f"cannot be read as HTML: {error}") from error


def _root(soup: BeautifulSoup) -> Tag:
    main = soup.find("main") or soup.find(role="main")
    return main if main and main.get_text(strip=True) else soup.body or soup


class _Page:
    """Puts a page's text into blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.pieces: list[str] = []
        self.level = self.rows = 0

    def add(self, name: str, piece: str, *, opens: bool) -> None:
        if name == "tr":
            self.rows += 1 if opens else -1
            self.pieces.append("\n")
        elif name in ("td", "th") and opens:
            self.pieces.append("" if self.pieces and self.pieces[-1] == "\n" else " | ")
        elif self.rows:
            # What stands in a cell stays on its row's line.
            self.pieces.append(" ".join(piece.split("\n")) if piece else " ")
        elif name in _HEADINGS or _BREAKS.fullmatch(name):
            self.finish()
            self.level = _HEADINGS.get(name, 0) if opens else 0
            self.pieces.append("- " if opens and name == "li" else "")
        else:
            self.pieces.append("\n" if name == "br" and opens else piece)

    def finish(self) -> None:
        """End the block that is being written."""
        lines = (" ".join(line.split()) for line in "".join(self.pieces).split("\n"))
        if (block := "\n".join(line for line in lines if line.strip("| "))) and block != "-":
            heading = " ".join(block.split()) if self.level else ""
            self.blocks.append(Block(heading or block, self.level, heading))
        self.pieces.clear()


def _events(root: Tag) -> Iterator[tuple[str, str, bool]]:
    """Yield (tag, "", True) where a tag opens, (tag, "", False) where it closes, and ("", text, True).

    Pages nest too deeply for recursion.
    """
    from bs4.element import CData, NavigableString, Tag

    todo: list[tuple[PageElement, bool, bool]] = [(root, False, False)]
    while todo:
        node, closes, verbatim = todo.pop()
        if isinstance(node, Tag):
            left_out = _LEFT_OUT.fullmatch(node.name) and not _is_heading_button(node)
            if left_out or node.has_attr("hidden"):
                continue
            yield node.name, "", not closes
            if not closes:
                verbatim = verbatim or node.name == "pre"
                todo.append((node, True, verbatim))
                todo += [(child, False, verbatim) for child in reversed(node.contents)]
        elif type(node) in (NavigableString, CData):
            yield "", str(node) if verbatim else _SPACE.sub(" ", str(node)), True


def _is_heading_button(node: Tag) -> bool:
    """Say whether a button opens a section: it stands in a heading or holds one, as an accordion's questions do."""
    headings = [*_HEADINGS, "summary", "dt"]
    return node.name == "button" and bool(node.find_parent(headings) or node.find(list(_HEADINGS)))
