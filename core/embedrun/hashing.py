"""Digests of texts, values, files and folders; all SHA-256, written in hexadecimal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def text_id(text: str) -> str:
    """Return the id of a text: 16 hexadecimal digits, so equal texts have equal ids."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def value_digest(value: Any) -> str:
    """Digest a JSON value independently of key order, white space and the form of whole numbers (RFC 8785's idea)."""
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A file's name that is not UTF-8 is read as halves of characters.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: Any) -> Any:
    """Write 2.0 as 2: a field's default may be the one, and the same field read from a lock the other."""
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_files(path: Path) -> dict[str, Path]:
    """Return the regular files below a folder by their relative name, sorted; none where there is no folder.

    Links are followed, to folders too.
    """
    return {file.relative_to(path).as_posix(): file for file in sorted(_files(path, frozenset())) if file.is_file()}


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    above |= {folder.resolve()}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            # One that is linked into itself has been seen.
            yield from () if path.is_symlink() and path.resolve() in above else _files(path, above)
        else:
            yield path


def folder_digest(digests: Mapping[str, str]) -> str:
    """Digest a folder, given each file's relative name and digest."""
    return value_digest(dict(digests))
