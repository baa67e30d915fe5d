"""Documents and a tokenizer, written small for tests."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

from pypdf import PdfReader, PdfWriter
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

_SIZE = 5
"""Points of a PDF's letters, so that long lines fit."""


def tokenizer_only(folder: Path, *, reads: int = 34, prompt: str = "") -> Path:
    """Write the files of a model that tell how it reads: a word is a token, two are special, `reads` tokens are read.

    As in many real ones, the tokenizer's own file says to cut and to pad.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentence_bert_config.json").write_text(f'{{"max_seq_length": {reads}}}')
    (folder / "config_sentence_transformers.json").write_text(f'{{"prompts": {{"document": "{prompt}"}}}}')
    return folder


def pdf(pages: Sequence[str], *, title: str = "", outline: Sequence[tuple[int, str]] = ()) -> bytes:
    """Return a PDF with each line of a page's text on its own line; an empty text makes an empty page."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(_plain_pdf(pages, _SIZE))))
    if title:
        writer.add_metadata({"/Title": title})
    for page, heading in outline:
        writer.add_outline_item(title=heading, page_number=page - 1)
    return written(writer)


def _plain_pdf(pages: Sequence[str], size: int) -> bytes:
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


def written(writer: PdfWriter) -> bytes:
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def encrypted(data: bytes, password: str, *, algorithm: str = "RC4-128") -> bytes:
    """Return a PDF that its user opens with `password`, and its owner with another one."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(user_password=password, owner_password="owner", algorithm=algorithm)
    return written(writer)


def words(start: int, count: int) -> str:
    """Return a sentence of words that are found nowhere else; each is a token, as is the full stop."""
    return " ".join(f"word{number}" for number in range(start, start + count - 1)).capitalize() + " ends."


def unlike(number: int) -> str:
    """Return a long sentence that is like no other."""
    made = (f"{zlib.crc32(f'{number}/{place}'.encode()):08x}" for place in range(12))
    return " ".join(made) + "."
