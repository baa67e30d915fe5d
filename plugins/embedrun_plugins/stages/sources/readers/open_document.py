"""Opening a document's file with the reader of its kind."""

from __future__ import annotations

from pathlib import Path

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.readers import (
    Block,
    DocumentContent,
    Kind,
    Progress,
    ReadingOptions,
    docx,
    html,
    kind_of,
    markdown,
    pdf,
)
from embedrun_plugins.stages.sources.readers.text_encoding import decoded


def read(path: Path, manner: ReadingOptions, progress: Progress) -> DocumentContent:
    """Return what a file says. Raises DataError, without the file's name, where it cannot be read."""
    kind = kind_of(path)
    try:
        if not path.stat().st_size:
            raise DataError("is empty (0 bytes)")
        if kind == "pdf":
            return pdf.read(path, manner, progress)
        if kind == "docx":
            return docx.read(path)
        return _read_text(path.read_bytes(), kind, manner.encoding)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error


def _read_text(raw: bytes, kind: Kind | None, encoding: str | None) -> DocumentContent:
    content = decoded(raw, encoding or (html.declared_encoding(raw) if kind == "html" else None))
    if kind == "html":
        reading = html.read(content.text)
    elif kind == "md":
        reading = markdown.read(content.text)
    else:
        reading = DocumentContent([Block(content.text)])
    reading.counts["invalid_bytes_replaced"] += content.replaced
    reading.counts["files_not_utf8"] += content.guessed
    return reading
