"""Gathering rows of questions and passages into distinct queries and documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from embedrun.artifacts import Document, Query, RetrievalSet, Split
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.stages.sources.columns import Columns, complete
from embedrun_plugins.stages.sources.holdout import Holdout, hold_out_rows
from embedrun_plugins.stages.sources.relations import Relations
from embedrun_plugins.stages.sources.row_reader import ParsedRow, RowReader
from embedrun_plugins.stages.sources.set_writer import SetContents, publish
from embedrun_plugins.stages.sources.tables import Table

_SHOWN = 10
"""Dropped rows that are named."""
_LABELS = ("label", "labels", "is_duplicate", "duplicate", "relevance", "relevant", "is_relevant", "target", "class")
"""Columns that may say which rows are pairs."""
_EVERY = 1000
"""Rows between two reports of progress."""


@dataclass
class RowSet:
    """Distinct texts, numbered in the order of their first appearance, and what the rows say about them."""

    queries: dict[str, int] = field(default_factory=dict)
    documents: dict[tuple[str, str] | str, int] = field(default_factory=dict)
    """Number of each text, or of each title and text."""
    metadata: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    relations: Relations = field(default_factory=Relations)
    read: int = 0
    dropped: int = 0
    dropped_rows: list[str] = field(default_factory=list)
    """The first rows without text on both sides, as file:row."""
    taught: bool = False
    """Whether scores are a teacher's."""

    def add(self, pairing: ParsedRow, split: Split) -> None:
        row = self.relations.add_row(split)
        query = self.queries.setdefault(pairing.anchor, len(self.queries))
        for text, score in pairing.positives:
            document = self._document((pairing.title, text) if pairing.title else text)
            self.relations.pairs.add(row, query, document, score)
            if pairing.metadata:
                self.metadata.setdefault(document, pairing.metadata)
        for text, score in pairing.negatives:
            self.relations.negatives.add(row, query, self._document(text), score)

    def _document(self, content: tuple[str, str] | str) -> int:
        return self.documents.setdefault(content, len(self.documents))

    def drop(self, where: str) -> None:
        self.dropped += 1
        if len(self.dropped_rows) < _SHOWN:
            self.dropped_rows.append(where)

    def contents(self) -> SetContents:
        query_ids = [Query.of(text).id for text in self.queries]
        document_ids = [_document(content).id for content in self.documents]
        return SetContents(
            relations=self.relations,
            query_ids=query_ids,
            document_ids=document_ids,
            queries=(Query(id_, text) for id_, text in zip(query_ids, self.queries, strict=True)),
            documents=self._written(document_ids),
            taught=self.taught,
        )

    def _written(self, ids: Iterable[str]) -> Iterator[Document]:
        for id_, (content, number) in zip(ids, self.documents.items(), strict=True):
            title, text = content if isinstance(content, tuple) else ("", content)
            yield Document(id_, text, title, self.metadata.get(number, {}))


def _document(content: tuple[str, str] | str) -> Document:
    return Document.of(content) if isinstance(content, str) else Document.of(content[1], content[0])


def make_set(
    ctx: Context, tables: Iterable[tuple[Split, Table]], columns: Columns, holdout: Holdout | None
) -> RetrievalSet:
    """Read all tables, hold out, and write the set below `ctx.out`.

    Raises DataError where a row cannot be read, a table has none that can be used, or so much cannot be held out.
    """
    gathered = _gather(ctx, tables, columns)
    ctx.note("rows_read", gathered.read)
    ctx.note("rows_dropped", gathered.dropped)
    if gathered.dropped:
        ctx.note("rows_dropped_first", gathered.dropped_rows)
    if holdout:
        documents = (content if isinstance(content, str) else " ".join(content) for content in gathered.documents)
        hold_out_rows(holdout, gathered.relations, gathered.queries, documents, seed=ctx.seed)
    return publish(ctx, gathered.contents())


def _gather(ctx: Context, tables: Iterable[tuple[Split, Table]], declared: Columns) -> RowSet:
    gathered = RowSet()
    noted: Columns | None = None
    for split, table in tables:
        if not table.columns:
            raise DataError(f"{table.name}: holds no rows")
        columns = complete(declared, table.columns, table.name, table.nested)
        if not _read(ctx, gathered, table, columns, split):
            sides = f"'{columns.anchor}' and '{columns.positive}'"
            raise DataError(f"{table.name}: no row can be used: none has text in both {sides}")
        gathered.taught |= columns.positive_score is not None
        if columns != noted:
            _note_columns(ctx, table, declared, columns, first=noted is None)
        noted = columns
    return gathered


def _read(ctx: Context, gathered: RowSet, table: Table, columns: Columns, split: Split) -> int:
    """Add a table's rows; return the number of those used."""
    reader = RowReader(table, columns)
    used = 0
    for row in table.read({name for _, name in columns.named()}):
        gathered.read += 1
        pairing = reader.pairing(row)
        if pairing:
            gathered.add(pairing, split)
            used += 1
        else:
            gathered.drop(f"{table.label}:{row.number}")
        if gathered.read % _EVERY == 0:
            ctx.progress("rows read", gathered.read)
    if warning := reader.listed_as_text(used):
        ctx.warn(warning)
    return used


def _note_columns(ctx: Context, table: Table, declared: Columns, columns: Columns, *, first: bool) -> None:
    named = columns.model_dump(mode="json", exclude_defaults=True)
    used = {part for _, name in columns.named() for part in (name, name.partition(".")[0])}
    guessed = sorted(set(named) - set(declared.model_dump(exclude_defaults=True)))
    unused = [name for name in table.columns if name not in used]
    name = "columns" if first else f"columns_of_{table.label}"
    ctx.note(name, {"used": named, "guessed": guessed, "unused": unused})
    if guessed:
        ctx.note(
            f"{name}_guessed", ", ".join(f"{role} {column}" for role, column in columns.named() if role in guessed)
        )
    labels = [name for name in unused if name.strip().lower() in _LABELS]
    if labels and not columns.score and guessed:
        ctx.warn(
            f"{table.label}: the column '{labels[0]}' is not used, so each row's texts are taken to belong together; "
            f"if it grades them (0: not relevant), set columns: {{score: {labels[0]}}}"
        )
    if "prompt" in unused:
        ctx.warn(f"{table.label}: the column 'prompt' is not used; prompts are declared once, on the model")
