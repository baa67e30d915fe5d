"""Reading a few queries out of large score files: of each file only what is asked for is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from embedrun_plugins.results.comparison import parted

_SPACE = re.compile(r"\s")
_ID = b'{"_id": "'


def word(identifier: str) -> str:
    """Return an id as TREC's files write it: white space as %20 and so on."""
    return _SPACE.sub(lambda space: quote(space[0]), identifier)


def by_query(scores: Path, metric: str) -> dict[str, float]:
    """Return one metric by query id, without parsing the others; empty where it is not kept by query."""
    file = scores / "per_query.json"
    if not file.is_file():
        return {}
    content = file.read_text("utf-8")
    # Only a metric's name is followed by a mapping, and a quote within a name would be escaped.
    start = re.search(re.escape(json.dumps(metric, ensure_ascii=False)) + r":\s*(?={)", content)
    if start is None:
        return {}
    values: dict[str, float] = json.JSONDecoder().raw_decode(content, start.end())[0]
    return values


@dataclass(frozen=True)
class QueryRanking:
    """The documents that a model found for a query, best first, as TREC's files name them."""

    documents: tuple[str, ...]

    def rank(self, relevant: Collection[str]) -> int | None:
        """Return the rank of the first relevant document; None where none was found."""
        return next((rank for rank, document in enumerate(self.documents, start=1) if document in relevant), None)


def rankings(scores: Path, metric: str, queries: Iterable[str]) -> dict[str, QueryRanking]:
    """Return what was found for some queries by the vectors that a metric is about."""
    size, _ = parted(metric)
    return {
        query: QueryRanking(tuple(line.split(" ")[2] for line in lines))
        for query, lines in _lines(scores / (f"run.dim_{size}.trec" if size else "run.trec"), queries).items()
    }


def judgements(scores: Path, queries: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the relevant documents of some queries."""
    return {
        query: frozenset(line.split(" ")[2] for line in lines)
        for query, lines in _lines(scores / "qrels.trec", queries).items()
    }


def _lines(file: Path, queries: Iterable[str]) -> dict[str, list[str]]:
    """Return each query's lines, which stand together; quickest where queries come in the file's order."""
    if not file.is_file():
        return {}
    content = "\n" + file.read_text("utf-8")
    lines: dict[str, list[str]] = {}
    end = 0
    for query in queries:
        name = f"{word(query)} "
        start = content.find(f"\n{name}", max(0, end - 1))
        if start < 0:
            start = content.find(f"\n{name}")
        if start >= 0:
            end = start + 1
            while content.startswith(name, end):
                end = content.find("\n", end) + 1 or len(content)
            lines[query] = content[start + 1 : end].splitlines()
    return lines


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
