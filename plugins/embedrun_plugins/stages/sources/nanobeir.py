"""NanoBEIR: small versions of BEIR's retrieval sets, on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field

from embedrun.artifacts import Document, Query, RetrievalSet, Split
from embedrun.context import Context, Resolver
from embedrun.errors import DataError, suggest
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Column, Source
from embedrun_plugins.stages.sources.beir_files import checked_id
from embedrun_plugins.stages.sources.columns import Columns
from embedrun_plugins.stages.sources.identified_set import IdentifiedSet
from embedrun_plugins.stages.sources.pairs import few_rows
from embedrun_plugins.stages.sources.set_writer import publish
from embedrun_plugins.stages.sources.tables import Table

_COMMIT = re.compile(r"[0-9a-f]{40}")
_CONFIGURATIONS = {"corpus": ("_id", "text"), "queries": ("_id", "text"), "qrels": ("query-id", "corpus-id")}
"""Configurations of the data set, and the columns that each must have."""


class NanoBeir(Source):
    """One of NanoBEIR's sets: 50 questions of a BEIR set and a few thousand of its documents, read at one commit.

    They are in one data set on the hub, whose configurations `corpus`, `queries` and `qrels` have a split for each set;
    translations have the same layout. Empty documents are left out, with what is judged of them. All questions are of
    the test split.
    """

    type: Literal["nanobeir"] = "nanobeir"
    seeded: ClassVar[bool] = False
    subset: str = Field(pattern=r"^Nano\w+$")
    """Which set, as the hub calls its split: NanoMSMARCO, NanoNFCorpus, NanoSciFact and so on."""
    dataset: str = Field("sentence-transformers/NanoBEIR-en", pattern=r"^\w[\w.-]*/\w[\w.-]*$")
    """The data set's id, owner/name."""
    revision: str | None = None
    """Branch, tag or commit; by default the main branch. A run fixes it to a commit."""

    def resolve(self, resolver: Resolver) -> Self:
        """Fix the revision to a commit; raises UserError where the hub cannot be reached and nothing is cached."""
        if self.revision and _COMMIT.fullmatch(self.revision):
            return self
        from embedrun_plugins.stages.sources.hub_datasets import commit_of

        return self.model_copy(update={"revision": commit_of(self.dataset, self.revision, offline=resolver.offline)})

    def fetch(self, resolver: Resolver) -> None:
        for _ in self.tables(offline=resolver.offline):
            pass

    def columns_given(self) -> frozenset[Column]:
        return frozenset({"positive"})

    def splits_given(self) -> frozenset[Split]:
        return frozenset({"test"})

    def rehearsal(self, rehearsal: Rehearsal) -> Source:
        return few_rows(rehearsal, [("test", f"{self.subset} is not read", None)], Columns(), None)

    def run(self, ctx: Context) -> RetrievalSet:
        fixed = self.resolve(Resolver(ctx.offline))
        ctx.note("revision", fixed.revision)
        corpus, queries, qrels = fixed.tables(offline=ctx.offline)
        collected, empty = IdentifiedSet(), set[str]()
        for where, id_, text in _cells(corpus, "corpus"):
            if text.strip():
                collected.add_document(where, Document(checked_id(where, id_), text))
            else:
                empty.add(id_)
        for where, id_, text in _cells(queries, "queries"):
            collected.add_query(where, Query(checked_id(where, id_), text))
        for where, query, document in _cells(qrels, "qrels"):
            if query not in collected.query_numbers:
                raise DataError(f"{where}: there is no query '{query}'")
            if document in collected.document_numbers:
                collected.judge("test", collected.query_numbers[query], collected.document_numbers[document], 1.0)
            elif document not in empty:
                raise DataError(f"{where}: there is no document '{document}'")
        return publish(ctx, collected.contents(ctx, None))

    def tables(self, *, offline: bool) -> Iterator[Table]:
        """Yield corpus, queries and judgements; downloads what is not cached."""
        from embedrun_plugins.stages.sources.hub_datasets import HubDataset

        for name, columns in _CONFIGURATIONS.items():
            table = HubDataset.load(self.dataset, name, str(self.revision), offline=offline).table(self.subset)
            if missing := [column for column in columns if column not in table.columns]:
                hint = suggest(missing[0], table.columns)
                raise DataError(f"{table.name}: its configuration '{name}' has no column '{missing[0]}'{hint}")
            yield table


def _cells(table: Table, configuration: str) -> Iterator[tuple[str, str, str]]:
    """Yield where a row stands and its two texts. Raises DataError where one is none."""
    columns = _CONFIGURATIONS[configuration]
    for row in table.read(columns):
        where = f"{table.where(row)} of '{configuration}'"
        first, second = (row.values[column] for column in columns)
        for column, value in zip(columns, (first, second), strict=True):
            if not isinstance(value, str):
                raise DataError(f"{where}: '{column}' must hold text, not {value!r}")
        yield where, first, second
