"""Writing the files that a user asks for."""

from __future__ import annotations

from pathlib import Path

from embedrun import UserError


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet. Raises UserError where it is, or cannot be written."""
    if path.exists():
        raise UserError(f"{path}: exists already; name another file, or remove it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
