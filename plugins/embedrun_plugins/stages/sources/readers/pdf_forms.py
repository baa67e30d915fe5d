"""What was typed into a PDF's form: it stands in fields beside the pages' text."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

_TYPED = ("/Tx", "/Ch")
"""Fields of text and choices."""
_PASSWORD = 1 << 13
"""Flag of a field whose value is secret (ISO 32000, table 228)."""


def by_pypdf(page: Any) -> Iterator[str]:
    """Yield a line for each filled field of a page: its description, if it has one, and its value."""
    for reference in page.get("/Annots") or ():
        widget = reference.get_object()
        if widget.get("/Subtype") == "/Widget" and _inherited(widget, "/FT") in _TYPED:
            values = _inherited(widget, "/V")
            texts = [text for text in (values if isinstance(values, list) else [values]) if isinstance(text, str)]
            if not int(_inherited(widget, "/Ff") or 0) & _PASSWORD:
                yield from _described(str(_inherited(widget, "/TU") or ""), ", ".join(texts))


def _inherited(field: Any, key: str) -> Any:
    """Return a field's entry, or the one that it has from the fields around it."""
    depth = 0
    while key not in field and "/Parent" in field and depth < 32:  # noqa: PLR2004  # damaged files have circles
        field, depth = field["/Parent"].get_object(), depth + 1
    value = field.get(key)
    return value.get_object() if hasattr(value, "get_object") else value


def by_pdfium(page: Any) -> Iterator[str]:
    """Yield the same lines as `by_pypdf`; the page's file must have its forms initialised."""
    from pypdfium2 import raw

    if page.formenv is None:
        return
    typed = (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX)
    for index in range(raw.FPDFPage_GetAnnotCount(page)):
        widget = raw.FPDFPage_GetAnnot(page, index)
        try:
            field = (page.formenv, widget)
            is_typed = raw.FPDFAnnot_GetFormFieldType(*field) in typed
            if is_typed and not raw.FPDFAnnot_GetFormFieldFlags(*field) & _PASSWORD:
                name = _string(raw.FPDFAnnot_GetFormFieldAlternateName, *field)
                yield from _described(name, _string(raw.FPDFAnnot_GetFormFieldValue, *field))
        finally:
            raw.FPDFPage_CloseAnnot(widget)


def _string(function: Callable[..., int], *field: Any) -> str:
    """Return what a function of PDFium's writes as UTF-16 with a zero at the end."""
    buffer = (ctypes.c_ushort * (function(*field, None, 0) // 2))()
    function(*field, buffer, ctypes.sizeof(buffer))
    return bytes(buffer).decode("utf-16-le", errors="replace").rstrip("\0")


def _described(description: str, value: str) -> Iterator[str]:
    if value.strip():
        yield f"{description.strip().rstrip(':')}: {value.strip()}" if description.strip() else value.strip()
