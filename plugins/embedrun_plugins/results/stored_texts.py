"""Reading a few texts out of a large set: of each file only what is asked for is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

_SPACE = re.compile(r"\s")
_ID = b'{"_id": "'


def word(identifier: str) -> str:
    """Return an id as TREC's files write it: white space as %20 and so on."""
    return _SPACE.sub(lambda space: quote(space[0]), identifier)


def texts(file: Path, wanted: Collection[str]) -> dict[str, str]:
    """Return the texts of some queries or documents of a set, by the ids that TREC's files give them.

    A line is parsed only if its id, which stands first in the files that embedrun writes, is wanted.
    """
    texts_by_id: dict[str, str] = {}
    encoded = {identifier.encode() for identifier in wanted}
    if not file.is_file():
        return texts_by_id
    with file.open("rb") as stream:
        for line in stream:
            plain = line[len(_ID) : line.find(b'"', len(_ID))] if line.startswith(_ID) else b""
            if plain in encoded or b"\\" in plain or b" " in plain or not plain:
                row: Mapping[str, Any] = json.loads(line)
                name = word(str(row["_id"]))
                if name in wanted:
                    texts_by_id[name] = f"{row.get('title') or ''} {row['text']}".strip()
                    if len(texts_by_id) == len(wanted):
                        break
    return texts_by_id
