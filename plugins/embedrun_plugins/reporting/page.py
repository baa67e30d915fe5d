"""The page that a report is: its parts in order, with style, in one file that asks for nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from embedrun_plugins.reporting import palette
from embedrun_plugins.reporting.markup import Content, Markup, element, join

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
