"""Sizes of memory, as containers' own tools write them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

Size = Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*[kmgtKMGT]?[bB]?$")]
"""Bytes, as in 512m or 8g."""
_PARTS = re.compile(r"(?P<number>[\d.]+)\s*(?P<unit>[kmgt]?)b?")


def bytes_of(size: Size) -> int:
    """Return how many bytes a size is. Docker's own `parse_bytes` knows no terabytes."""
    parts = _PARTS.fullmatch(size.lower())
    if parts is None:
        raise ValueError(f"'{size}' is not a size such as 512m or 8g")
    return int(float(parts["number"]) * 1024 ** " kmgt".index(parts["unit"] or " "))
