"""Opening a document's file with the reader of its kind."""

from __future__ import annotations

from pathlib import Path

from embedrun.errors import DataError
from embedrun_plugins.sources.reading import Block, Kind, Manner, Progress, Reading, kind_of, markdown, pdf, web, word
from embedrun_plugins.sources.reading.decoding import decoded


def read(path: Path, manner: Manner, progress: Progress) -> Reading:
    """Return what a file says. Raises DataError, without the file's name, where it cannot be read."""
    kind = kind_of(path)
    try:
        if not path.stat().st_size:
            raise DataError("is empty (0 bytes)")
        if kind == "pdf":
            return pdf.read(path, manner, progress)
        if kind == "docx":
            return word.read(path)
        return _read_text(path.read_bytes(), kind, manner.encoding)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error


def _read_text(raw: bytes, kind: Kind | None, encoding: str | None) -> Reading:
    found = decoded(raw, encoding or (web.declared_encoding(raw) if kind == "html" else None))
    if kind == "html":
        reading = web.read(found.text)
    elif kind == "md":
        reading = markdown.read(found.text)
    else:
        reading = Reading([Block(found.text)])
    reading.counts["invalid_bytes_replaced"] += found.replaced
    reading.counts["files_not_utf8"] += found.guessed
    return reading
