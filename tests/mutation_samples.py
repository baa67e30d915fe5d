"""Whole files of every kind that users bring, for the mutation test and `benchmarks/fuzz.py` to damage."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from embedrun_plugins.services.shipped_recipes import recipes

ROWS = [
    {"anchor": f"where is the lamp {n}?", "positive": f"The lamp {n} is in room {n}.", "score": n / 12}
    for n in range(12)
]
HTML = (
    "<html><head><title>Lamps</title></head><body><h1>Lamps</h1><p>The lamp is in the <b>room</b>.</p>{}</body></html>"
)


def rows() -> dict[str, bytes]:
    """Return the same rows in every format, and what is taken for rows by mistake, by file name."""
    import pyarrow as pa
    from pyarrow import parquet

    table, written = pa.Table.from_pylist(ROWS), io.BytesIO()
    parquet.write_table(table, written)
    delimited = {}
    for name, delimiter in (("rows.csv", ","), ("rows.tsv", "\t")):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)
        delimited[name] = text.getvalue().encode()
    return {
        "rows.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
        "rows.json": json.dumps(ROWS).encode(),
        "rows.parquet": written.getvalue(),
        "rows.xlsx": _workbook(),
        **delimited,
    }


def _workbook() -> bytes:
    """Return a zip archive of the parts that tell a workbook."""
    import zipfile

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


def documents() -> dict[str, bytes]:
    """Return a document of every kind, by file name."""
    import docx

    paragraphs = [f"The lamp number {n} stands in room {n} beside the copper river." for n in range(8)]
    document, written = docx.Document(), io.BytesIO()
    document.add_heading("Lamps")
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.add_table(2, 2).cell(0, 0).text = "room"
    document.save(written)
    return {
        "lamps.docx": written.getvalue(),
        "lamps.html": HTML.format("".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)).encode(),
        "lamps.md": b"# Lamps\n\n" + "\n\n".join(paragraphs).encode(),
        "lamps.txt": "\n\n".join(paragraphs).encode(),
    }


def recipe_files() -> dict[str, bytes]:
    """Return the shipped recipes by name."""
    return {name: path.read_bytes() for name, path in recipes().items()}


def json_files(folder: Path) -> dict[str, bytes]:
    """Return the JSON files below a folder by relative name, small ones alone."""
    files = (path for path in sorted(folder.rglob("*.json")) if path.stat().st_size < 100_000)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
