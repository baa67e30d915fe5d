"""The first pages of documents, for a rehearsal; or made-up ones where there are none."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from embedrun.artifacts import SPLITS, Split
from embedrun_plugins.stages.rehearsal.texts import texts
from embedrun_plugins.stages.sources.file_patterns import File
from embedrun_plugins.stages.sources.readers import PdfReader, kind_of

PASSAGES: Mapping[Split, int] = {"train": 14, "dev": 6, "test": 6}
_FILES = 4
_LETTERS = 4.5
"""Of a token, about."""
_PAGE = 4_000
"""Letters of a page, about."""
_WHOLE = 2_000
"""Letters read of a document that is one passage."""
_MADE_UP = 900
"""Letters of a made-up document."""
_PASSAGE = 280
"""Letters of a passage of the handbook, about."""


def copy(files: Sequence[File], folder: Path, split: Split, size: int | None, reader: PdfReader) -> int:
    """Copy the beginnings of a few files, for passages of `size` tokens; return how many files."""
    most = _FILES if size else PASSAGES[split]
    chosen = files[:: max(1, len(files) // most)][:most]
    letters = PASSAGES[split] * size * _LETTERS / len(chosen) if size else _WHOLE
    for file in chosen:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy_beginning(file.path, target, letters, reader)
    return len(chosen)


def _copy_beginning(path: Path, target: Path, letters: float, reader: PdfReader) -> None:
    """Copy about so many letters of a file; what cannot be cut is copied whole, to be refused as in a run."""
    kind = kind_of(path)
    if kind == "pdf":
        try:
            _copy_pages(path, target, math.ceil(letters / _PAGE), reader)
        except Exception:  # noqa: BLE001  # a damaged PDF makes its reader raise anything
            shutil.copyfile(path, target)
    elif kind == "docx":
        shutil.copyfile(path, target)
    else:
        with path.open("rb") as stream:
            begun = stream.read(math.ceil(letters))
        rest = begun.rfind(b"\n") + 1 if len(begun) < path.stat().st_size else len(begun)
        target.write_bytes(begun[: rest or len(begun)])


def _copy_pages(path: Path, target: Path, count: int, reader: PdfReader) -> None:
    if reader == "pypdfium2":
        import pypdfium2

        with pypdfium2.PdfDocument(path) as whole, pypdfium2.PdfDocument.new() as begun:
            begun.import_pages(whole, list(range(min(count, len(whole)))))
            begun.save(target)
        return
    import pypdf

    with pypdf.PdfReader(path) as whole, pypdf.PdfWriter() as writer:
        writer.append(whole, pages=(0, min(count, len(whole.pages))))
        writer.write(target)


def make_up(folder: Path, split: Split, size: int | None) -> None:
    """Write Markdown files of about a passage or a few each."""
    letters = min(_MADE_UP, int(size * _LETTERS)) if size else _MADE_UP
    start = sum(PASSAGES[earlier] for earlier in SPLITS[: SPLITS.index(split)])
    per_file = max(1, letters // _PASSAGE)
    for number in range(PASSAGES[split]):
        passages = [text.passage for text in texts(per_file, (start + number) * per_file)]
        heading = " ".join(passages[0].split()[:4])
        text = "\n\n".join([f"# {heading}", *passages]) + "\n"
        (folder / f"{split}-{number:02}.md").write_text(text, "utf-8")
