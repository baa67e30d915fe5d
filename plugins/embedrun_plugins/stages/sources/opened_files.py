"""Opening the files that a recipe names, and saying exactly what is wrong with them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from embedrun.errors import DataError
from embedrun.yamlfile import near

_MARKS = {
    b"PK\x03\x04": "is an Excel workbook (or another zip archive); save it as CSV UTF-8, and name that file",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook, or one with a password; save it as CSV UTF-8, and name that file",
    b"PAR1": "is a Parquet file; set format: parquet",
    b"%PDF-": "is a PDF; PDFs are read by the source 'documents'",
    b"\x1f\x8b": "is packed with gzip; let its name end in .gz",
}
"""How files begin that hold no lines of text, and what to do with them."""
_BOMS = {b"\xff\xfe\x00\x00": "UTF-32", b"\x00\x00\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def existing(path: Path) -> Path:
    """Return the path of a file; raises DataError, with a near name, where there is none."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name the file in it")
    if path.exists():
        return path
    if not path.parent.is_dir():
        raise DataError(f"{path}: no such file; there is no folder {path.parent} either")
    raise DataError(f"{path}: no such file{near(path)}")


def refuse_packed(path: Path) -> None:
    """Raise DataError where a file begins as a workbook, or as another kind of file that holds no lines of text."""
    with opened(path) as stream:
        start = stream.read(8)
    for mark, what in _MARKS.items():
        if start.startswith(mark):
            raise DataError(f"{path}: {what}")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, unpacked if its name ends in `.gz`.

    Raises DataError where it is missing, cannot be read, or is packed badly.
    """
    existing(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield cast("BinaryIO", stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is not a complete gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield a UTF-8 file's lines with their numbers from 1, without a byte order mark and line ends.

    Raises DataError with line and byte where the file is not UTF-8.
    """
    with opened(path) as stream:
        start = 0
        for number, raw in enumerate(stream, 1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(path, number, start, raw, error) from error
            start += len(raw)
            yield number, text.rstrip("\r\n")


def whole_text(path: Path) -> str:
    """Return a UTF-8 file's text, without a byte order mark; raises DataError with line and byte if it is not UTF-8."""
    with opened(path) as stream:
        raw = stream.read()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error


def not_utf8(path: Path) -> DataError:
    """Find the first line of a file that is not UTF-8, and describe it."""
    try:
        for _ in lines(path):
            pass
    except DataError as error:
        return error
    return DataError(f"{path}: is not UTF-8; save it as UTF-8")


def _not_utf8(path: Path, line: int, start: int, raw: bytes, error: UnicodeDecodeError) -> DataError:
    for bom, name in _BOMS.items():
        if line == 1 and raw.startswith(bom):
            return DataError(f"{path}: is {name}, not UTF-8; save it as UTF-8")
    byte = f"0x{raw[error.start]:02x}"
    where = start + error.start
    return DataError(f"{path}:{line}: not UTF-8 (byte {where} of the file is {byte}); save the file as UTF-8")
