"""Tables that scroll in a frame of their own where a screen is narrow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from embedrun_plugins.reporting.markup import Content, Markup, element


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
