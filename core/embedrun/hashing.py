"""Digests of texts, values, files and folders; all SHA-256, written in hexadecimal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def text_id(text: str) -> str:
    """Return the id of a text: 16 hexadecimal digits, so equal texts have equal ids."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def value_digest(value: Any) -> str:
    """Digest a JSON value independently of key order and white space (RFC 8785's idea)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_files(path: Path) -> dict[str, Path]:
    """Return the regular files below a folder by their relative name, sorted."""
    return {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}


def folder_digest(digests: Mapping[str, str]) -> str:
    """Digest a folder, given each file's relative name and digest."""
    return value_digest(dict(digests))
