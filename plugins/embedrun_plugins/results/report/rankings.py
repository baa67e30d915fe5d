"""Reading a few queries out of large score files: of each file only what is asked for is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from embedrun_plugins.results.comparison import parted
from embedrun_plugins.results.stored_texts import word


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
