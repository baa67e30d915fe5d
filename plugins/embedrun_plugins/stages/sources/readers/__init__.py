"""Reading a document's file as text: its blocks in reading order, where its headings and pages are, what was mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["pdf", "txt", "md", "html", "docx"]
PdfReader = Literal["pypdf", "pypdfium2"]

KINDS: dict[str, Kind] = {
    ".pdf": "pdf",
    ".txt": "txt",
    ".text": "txt",
    ".md": "md",
    ".markdown": "md",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".docx": "docx",
}
"""What a file's ending, in lower case, says that it is."""
MODULES: dict[Kind, tuple[str, ...]] = {"html": ("bs4", "lxml"), "docx": ("docx",)}
"""Optional modules that read a kind; a PDF's depends on the reader chosen."""
Progress = Callable[[float], None]
"""Is told the share of a file that is read."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a heading, a table, a section or a page."""

    text: str
    level: int = 0
    """1 to 6 where it begins with a heading, 0 where it does not."""
    heading: str = ""
    """The section that begins with it, if one does."""
    page: int | None = None
    """Number of the page from 1, where a block is one."""


@dataclass
class DocumentContent:
    """What a file says."""

    blocks: list[Block]
    title: str = ""
    """The document's own title, where it has one."""
    markdown: bool = False
    """Whether headings and blocks are marked in the text itself."""
    counts: Counter[str] = field(default_factory=Counter)
    """What was mended or left out, by the name of the note."""
    empty_pages: list[int] = field(default_factory=list)
    undecoded_pages: list[int] = field(default_factory=list)
    """Pages whose fonts do not say which letters they show."""
    run_together: list[str] = field(default_factory=list)
    """Words that seem to be two without the space between them, where so many are that the reader is to blame."""


@dataclass(frozen=True)
class ReadingOptions:
    """How files are read."""

    pdf_reader: PdfReader = "pypdf"
    encoding: str | None = None
    boilerplate: bool = True
    """Whether to remove lines that are repeated on most pages."""


def first_heading(blocks: Iterable[Block]) -> str:
    return next((block.heading for block in blocks if block.level == 1), "")


def kind_of(path: Path) -> Kind | None:
    return KINDS.get(path.suffix.lower())
