"""Writing the files that a user asks for."""

from __future__ import annotations

from pathlib import Path

from embedrun import UserError


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all. Raises UserError where it is, or cannot be written."""
    if path.exists():
        raise UserError(f"{path}: exists already; name another file, or remove it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{path.name}.part")
        scratch.write_text(text, "utf-8", newline="\n")
        scratch.rename(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
