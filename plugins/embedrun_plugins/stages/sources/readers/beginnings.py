"""The first pages of documents, for a rehearsal; or made-up ones where there are none."""

from __future__ import annotations

import importlib.util
import math
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embedrun.artifacts import SPLITS, Split
from embedrun_plugins.stages.rehearsal.texts import texts
from embedrun_plugins.stages.sources.file_patterns import File
from embedrun_plugins.stages.sources.readers import PdfReader, kind_of

if TYPE_CHECKING:
    from embedrun_plugins.stages.sources.documents import Documents

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
_LINE = 90
"""Letters of a line in a made-up PDF."""


def copy(stage: Documents, files: Sequence[File], split: Split, folder: Path) -> int:
    """Copy the beginnings of a few files; return how many."""
    most = _FILES if stage.size else PASSAGES[split]
    chosen = files[:: max(1, len(files) // most)][:most]
    letters = PASSAGES[split] * stage.size * _LETTERS / len(chosen) if stage.size else _WHOLE
    for file in chosen:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy_beginning(file.path, target, letters, stage.pdf_reader)
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


def make_up(folder: Path, split: Split, size: int | None, reader: PdfReader) -> None:
    """Write Markdown files of about a passage or a few each; the last is a PDF where its reader is here."""
    letters = min(_MADE_UP, int(size * _LETTERS)) if size else _MADE_UP
    count, start = PASSAGES[split], sum(PASSAGES[earlier] for earlier in SPLITS[: SPLITS.index(split)])
    of_each = max(1, letters // _PASSAGE)
    for number in range(count):
        own = [text.passage for text in texts(of_each, (start + number) * of_each)]
        file = folder / f"{split}-{number:02}"
        if number == count - 1 and importlib.util.find_spec(reader):
            file.with_suffix(".pdf").write_bytes(pdf(["\n".join(textwrap.wrap(" ".join(own), _LINE))]))
        else:
            heading = " ".join(own[0].split()[:4])
            file.with_suffix(".md").write_text("\n\n".join([f"# {heading}", *own]) + "\n", "utf-8")


def pdf(pages: Sequence[str], size: int = 9) -> bytes:
    """Return a PDF with each line of a page's text on a line of its own; letters beyond cp1252 become '?'.

    `size` is that of the letters, in points.
    """
    parts = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    parts += ["<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"]
    kids = []
    for text in pages:
        kids.append(f"{len(parts) + 1} 0 R")
        lines = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in text.split("\n")]
        shown = f"BT /F1 {size} Tf 50 740 Td 14 TL\n" + "\n".join(f"({line}) Tj T*" for line in lines) + "\nET"
        parts.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(parts) + 2} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        parts.append(f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream")
    parts[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    data, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{part}\nendobj\n".encode("cp1252", "replace")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"trailer << /Size {len(parts) + 1} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {len(parts) + 1}\n0000000000 65535 f \n{table}{end}".encode()
