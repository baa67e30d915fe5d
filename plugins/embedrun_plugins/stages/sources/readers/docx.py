"""Word documents (.docx): paragraphs and tables in reading order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.readers import Block, DocumentContent, first_heading

if TYPE_CHECKING:
    from docx.table import Table
    from docx.text.paragraph import Paragraph

_OLE = b"\xd0\xcf\x11\xe0"
"""How old .doc files begin, and new ones that are encrypted."""
_HEADING = re.compile(r"Heading ([1-9])$")
_WRAPPERS = ("w:ins", "w:moveTo", "w:smartTag", "w:customXml", "w:fldSimple")
"""Elements around text that python-docx passes over; content controls are told by `_opened`."""


def read(path: Path) -> DocumentContent:
    """Return paragraphs, headings and tables (a row is a line); headers, footers, notes and text boxes are left out.

    Content controls (cover pages, forms, templates), fields and insertions under review count as the text they show;
    unfilled controls and tables of contents are left out.

    Raises DataError where it is no Word document.
    """
    import docx

    raw = path.read_bytes()
    if raw.startswith(_OLE):
        raise DataError("is encrypted, or an old .doc file; save it without a password as .docx")
    try:
        document = docx.Document(BytesIO(raw))
        _unwrap(document.element.body)
        blocks = list(_blocks(document))
        title = document.core_properties.title.strip()
    except Exception as error:  # zip, zlib, XML and what is built on them raise errors of every sort at damage
        raise DataError(f"is broken, or not a Word document: {error}") from error
    return DocumentContent(blocks, title or first_heading(blocks))


def _unwrap(body: Any) -> None:
    """Put what stands in wrapping elements into their place, from the innermost on."""
    from docx.oxml.ns import qn

    wrappers = {qn(name) for name in _WRAPPERS}
    for element in reversed(list(body.iter(qn("w:sdt"), *wrappers))):
        content = element if element.tag in wrappers else _opened(element)
        for child in list(content) if content is not None else ():
            element.addprevious(child)
        element.getparent().remove(element)


def _opened(control: Any) -> Any:
    """Return the content of a content control; None where it shows a placeholder or is a table of contents."""
    from docx.oxml.ns import qn

    properties = control.find(qn("w:sdtPr"))
    if properties is not None:
        gallery = properties.find(f".//{qn('w:docPartGallery')}")
        is_contents = gallery is not None and gallery.get(qn("w:val")) == "Table of Contents"
        if is_contents or properties.find(qn("w:showingPlcHdr")) is not None:
            return None
    return control.find(qn("w:sdtContent"))


def _blocks(container: Any) -> Iterator[Block]:
    from docx.text.paragraph import Paragraph

    for item in container.iter_inner_content():
        if isinstance(item, Paragraph):
            if text := item.text.strip():
                level = _level(item)
                yield Block(text, level, text if level else "")
        elif text := "\n".join(_rows(item)):
            yield Block(text)


def _level(paragraph: Paragraph) -> int:
    name = (paragraph.style.name if paragraph.style else None) or ""
    heading = _HEADING.match(name)
    return min(int(heading[1]), 6) if heading else int(name == "Title")


def _rows(table: Table) -> Iterator[str]:
    """Yield a line for each row; a merged cell stands once, at its first place."""
    seen: set[Any] = set()
    for row in table.rows:
        cells = [cell for cell in row.cells if not (cell._tc in seen or seen.add(cell._tc))]  # type: ignore[func-returns-value]  # noqa: SLF001  # python-docx has no public identity
        texts = [" ".join(" ".join(block.text for block in _blocks(cell)).split()) for cell in cells]
        if any(texts):
            yield " | ".join(texts)
