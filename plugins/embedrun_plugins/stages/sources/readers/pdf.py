"""PDF files: the text of their pages, by pypdf or PDFium."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.readers import Block, DocumentContent, Progress, ReadingOptions, pdf_forms
from embedrun_plugins.stages.sources.readers.characters import is_undecoded, letters
from embedrun_plugins.stages.sources.readers.pdf_layout import (
    MARK,
    SOFT_HYPHEN,
    paragraphs,
    run_together,
    unbroken,
    usual_width,
    without_repeated,
    words_of,
)

if TYPE_CHECKING:
    from pypdf import PdfReader

_INNER_SOFT_HYPHEN = re.compile(rf"{SOFT_HYPHEN}(?!\s*$)", re.MULTILINE)
_HEAD = 1024
"""Bytes within which a PDF says that it is one (ISO 32000, implementation note 13)."""
_PASSWORD = "needs a password; remove it first, for example with: qpdf --decrypt --password=… IN.pdf OUT.pdf"  # noqa: S105
_SCANNED = "seems to be scanned; recognise its text first, for example with: ocrmypdf IN.pdf OUT.pdf"
_UNDECODED = "has fonts that do not say which letters they show: its text reads"
_OCR = "recognise its text anew, for example with: ocrmypdf --force-ocr IN.pdf OUT.pdf"
_WRITERS_MARK = "Microsoft Word - "
_ENDINGS = (".doc", ".docx", ".pdf", ".indd", ".tex", ".dvi", ".rtf", ".ppt", ".pptx", ".xls", ".xlsx", ".qxd", ".ps")


class Bookmark(NamedTuple):
    """An entry of a PDF's outline; `level` is 1 for the outermost."""

    page: int
    level: int
    title: str


@dataclass
class _PdfText:
    """What a reader finds."""

    pages: list[str] = field(default_factory=list)
    title: str = ""
    outline: list[Bookmark] = field(default_factory=list)


def read(path: Path, manner: ReadingOptions, progress: Progress) -> DocumentContent:
    """Return the pages with their lines joined to paragraphs, without running heads and feet.

    Raises DataError where it is no PDF, broken, encrypted with a password, or has no text on any page.
    """
    with path.open("rb") as stream:
        if b"%PDF-" not in (head := stream.read(_HEAD)):
            raise DataError(f"is not a PDF: it begins with {head[:12]!r}")
    raw = (_by_pdfium if manner.pdf_reader == "pypdfium2" else _by_pypdf)(path, progress)
    if not raw.pages:
        raise DataError("is a PDF without pages")
    pages = [[line.rstrip() for line in _with_marks(page).splitlines() if line.strip()] for page in raw.pages]
    if not any(pages):
        raise DataError(f"has no text on any of its {len(pages)} pages: it {_SCANNED}")
    empty = [number for number, page in enumerate(pages, 1) if not page]
    undecoded = [number for number, page in enumerate(raw.pages, 1) if is_undecoded(page)]
    if len(undecoded) + len(empty) == len(pages):
        raise DataError(f"{_UNDECODED} {raw.pages[undecoded[0] - 1].strip()[:20]!r}; {_OCR}")
    removed = 0
    if manner.boilerplate:
        pages, removed = without_repeated(pages)
        if not any(pages):
            raise DataError(f"has only running heads and feet as text on its {len(pages)} pages: it {_SCANNED}")
    reading = _arranged(pages, raw)
    reading.counts["boilerplate_lines_removed"] += removed
    reading.empty_pages = empty
    reading.undecoded_pages = undecoded
    return reading


def _with_marks(page: str) -> str:
    """Normalise what separates words and what PDFium writes for hyphens, before lines are looked at.

    Of soft hyphens, those at lines' ends are left.
    """
    page = page.replace("\ufffe", MARK).replace("\xa0", " ").replace("\t", " ")
    return _INNER_SOFT_HYPHEN.sub("", page)


def _arranged(pages: list[list[str]], raw: _PdfText) -> DocumentContent:
    width = usual_width(pages)
    texts = [paragraphs(lines, width) for lines in pages]
    words = words_of("\n".join(texts))
    blocks: list[Block] = []
    joined = 0
    for number, text in enumerate(texts, 1):
        mended, count = unbroken(text, words)
        joined += count
        blocks += _sections(mended, number, [mark for mark in raw.outline if mark.page == number])
    content = DocumentContent(blocks, _title(raw.title), run_together=run_together(words))
    content.counts["hyphens_joined"] += joined
    return content


def _sections(text: str, page: int, marks: list[Bookmark]) -> Iterator[Block]:
    """Divide a page's text at the lines that are bookmarks' titles; one that is no line begins with the page."""
    start, level, heading = 0, 0, ""
    for mark in marks:
        match = re.compile(rf"^{re.escape(mark.title)}$", re.MULTILINE | re.IGNORECASE).search(text, start)
        if match:
            yield Block(text[start : match.start()], level, heading, page)
        start, level, heading = (match.start(), mark.level, mark.title) if match else (start, level, mark.title)
    yield Block(text[start:], level, heading, page)


def _title(title: str) -> str:
    """Return a title that somebody wrote; programs put file names and numbers there."""
    title = " ".join(title.split()).removeprefix(_WRITERS_MARK)
    names_file = title.lower().endswith(_ENDINGS) or title.lower().startswith("untitled")
    written = letters(title) > sum(map(str.isdigit, title)) * 2
    return title if written and not names_file else ""


@contextmanager
def _explained(reader: str, what: str) -> Iterator[None]:
    """Translate whatever a reader raises at a damaged file: it is of every sort, from KeyError to RecursionError."""
    other = "pypdfium2" if reader == "pypdf" else "pypdf"
    try:
        yield
    except (DataError, OSError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{what} ({reason}); repair the file, or try pdf_reader: {other}") from error


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a reader's remarks about small damage off the screen."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _by_pypdf(path: Path, progress: Progress) -> _PdfText:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError

    raw = _PdfText()
    with _quiet("pypdf"), path.open("rb") as stream:
        try:
            with _explained("pypdf", "is a broken PDF"):
                file = PdfReader(stream)
                if file.is_encrypted:
                    _open(file)
                count = len(file.pages)
            for number in range(count):
                with _explained("pypdf", f"page {number + 1} cannot be read"):
                    page = file.pages[number]
                    raw.pages.append("\n".join([page.extract_text(), *pdf_forms.by_pypdf(page)]))
                progress((number + 1) / count)
        except DataError as error:
            if isinstance(error.__cause__, DependencyError):
                advice = "pip install cryptography, or set pdf_reader: pypdfium2"
                raise DataError(f"is encrypted by a method that pypdf needs another package for; {advice}") from error
            if isinstance(error.__cause__, FileNotDecryptedError):
                raise DataError(f"is encrypted and {_PASSWORD}") from error
            raise
        raw.title = _or_nothing(lambda: str((file.metadata and file.metadata.title) or ""), "")
        raw.outline = _or_nothing(lambda: list(_pypdf_outline(file, file.outline)), [])
    return raw


def _open(file: PdfReader) -> None:
    """Decrypt a file that only its owner has a password for."""
    if not file.decrypt(""):
        raise DataError(f"is encrypted and {_PASSWORD}")


def _pypdf_outline(file: Any, items: list[Any], level: int = 1) -> Iterator[Bookmark]:
    for item in items:
        if isinstance(item, list):
            yield from _pypdf_outline(file, item, level + 1)
        elif (page := file.get_destination_page_number(item)) is not None and (title := str(item.title).split()):
            yield Bookmark(page + 1, min(level, 6), " ".join(title))


def _or_nothing(find: Any, nothing: Any) -> Any:
    """Return what a reader finds beside the text; damage there costs no text."""
    try:
        return find()
    except Exception:  # noqa: BLE001  # see _explained
        return nothing


def _by_pdfium(path: Path, progress: Progress) -> _PdfText:
    from pypdfium2 import PdfDocument, PdfiumError
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    raw = _PdfText()
    with _quiet("pypdfium2"), _explained("pypdfium2", "is a broken PDF"):
        try:
            file = PdfDocument(path)
        except PdfiumError as error:
            if error.err_code == FPDF_ERR_PASSWORD:
                raise DataError(f"is encrypted and {_PASSWORD}") from error
            raise
        try:
            file.init_forms()
            count = len(file)
            for number in range(count):
                with _explained("pypdfium2", f"page {number + 1} cannot be read"):
                    raw.pages.append(_pdfium_text(file, number))
                progress((number + 1) / count)
            raw.title = _or_nothing(lambda: str(file.get_metadata_value("Title") or ""), "")
            raw.outline = _or_nothing(lambda: list(_pdfium_outline(file)), [])
        finally:
            file.close()
    return raw


def _pdfium_text(file: Any, number: int) -> str:
    page = file[number]
    text = page.get_textpage()
    try:
        lines = (line.strip() for line in text.get_text_bounded().splitlines())
        return "\n".join([*lines, *pdf_forms.by_pdfium(page)])
    finally:
        text.close()
        page.close()


def _pdfium_outline(file: Any) -> Iterator[Bookmark]:
    for item in file.get_toc():
        destination = item.get_dest()
        page = destination.get_index() if destination else None
        if page is not None and (title := item.get_title().split()):
            yield Bookmark(page + 1, min(item.level + 1, 6), " ".join(title))
