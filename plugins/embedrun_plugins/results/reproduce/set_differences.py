"""Which rows of a retrieval set differ from those of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from embedrun.artifacts import SPLITS, Document, Judgement, Query, RetrievalSet

_MOST = 5
_BEFORE, _WIDTH = 30, 90
"""Characters shown before the first that differs, and in all."""

_Row = TypeVar("_Row", Document, Query)


def changes(then: Path, now: Path) -> list[str]:
    """Name the documents, queries and judgements that differ between two sets; at most a few of each."""
    before, after = RetrievalSet(then), RetrievalSet(now)
    texts: list[str] = []
    texts += _cut(list(_texts("query", before.queries, after.queries, lambda query: query.text)))
    texts += _cut(list(_texts("document", before.documents, after.documents, lambda document: document.full_text)))
    shared = (before.queries.keys() & after.queries.keys(), before.documents.keys() & after.documents.keys())
    judged = _judged(before), _judged(after)
    return texts + _cut([_told(place, *judged, after) for place in _moved(*judged, shared)])


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _MOST else [*lines[:_MOST], f"… and {len(lines) - _MOST} more like these"]


def _texts(name: str, then: Mapping[str, _Row], now: Mapping[str, _Row], text: Callable[[_Row], str]) -> Iterator[str]:
    """Say which rows differ. Where ids come from the text, a changed row is one that went and one that came."""
    for key in then:
        if key in now and then[key] != now[key]:
            before, after = text(then[key]), text(now[key])
            difference = _both(before, after) if before != after else "its metadata has changed"
            yield f"{name} {key}: {difference}"
    for gone, come in _pairs(list(then), list(now)):
        if gone and come:
            yield f"{name} {gone}: {_both(text(then[gone]), text(now[come]))}"
        elif gone:
            yield f"{name} {gone}: {_short(text(then[gone]))} is gone"
        elif come:
            yield f"{name} {come}: {_short(text(now[come]))} is new"


def _pairs(then: list[str], now: list[str]) -> Iterator[tuple[str | None, str | None]]:
    """Pair what went with what came in its place: behind the same row that both have."""
    went, came = _behind(then, set(now)), _behind(now, set(then))
    for anchor in dict.fromkeys((*went, *came)):
        yield from zip_longest(went.get(anchor, ()), came.get(anchor, ()))


def _behind(keys: Iterable[str], shared: set[str]) -> dict[str | None, list[str]]:
    groups: dict[str | None, list[str]] = {}
    anchor: str | None = None
    for key in keys:
        if key in shared:
            anchor = key
        else:
            groups.setdefault(anchor, []).append(key)
    return groups


def _both(then: str, now: str) -> str:
    """Show two texts from shortly before where they part."""
    same = next((index for index, (old, new) in enumerate(zip(then, now, strict=False)) if old != new), None)
    start = max(0, (min(len(then), len(now)) if same is None else same) - _BEFORE)
    return f"{_short(then, start)} is {_short(now, start)} now"


def _short(text: str, start: int = 0) -> str:
    start = start if len(text) > _WIDTH else 0
    end = start + _WIDTH
    return f"'{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}'"


_Place = tuple[str, str, str]
"""Split (or negatives), query and document."""


def _judged(data: RetrievalSet) -> dict[_Place, float]:
    scores: dict[_Place, float] = {}
    lists: list[tuple[str, list[Judgement]]] = [(split, data.qrels(split)) for split in SPLITS]
    for name, judgements in (*lists, ("negatives", data.negatives())):
        scores |= {(name, judgement.query_id, judgement.document_id): judgement.score for judgement in judgements}
    return scores


def _moved(
    then: Mapping[_Place, float], now: Mapping[_Place, float], shared: tuple[Iterable[str], Iterable[str]]
) -> Iterator[_Place]:
    """Yield what is judged otherwise, of queries and documents that both sets have."""
    queries, documents = (frozenset(keys) for keys in shared)
    for judgement in dict.fromkeys((*then, *now)):
        if judgement[1] in queries and judgement[2] in documents and then.get(judgement) != now.get(judgement):
            yield judgement


def _told(place: _Place, then: Mapping[_Place, float], now: Mapping[_Place, float], data: RetrievalSet) -> str:
    name, query, document = place
    where = f"{name}: {_short(data.queries[query].text)} and {_short(data.documents[document].full_text)}"
    if place in then and place in now:
        return f"{where}: score {then[place]:g} then, {now[place]:g} now"
    return f"{where}: {'no longer' if place in then else 'newly'} paired"
