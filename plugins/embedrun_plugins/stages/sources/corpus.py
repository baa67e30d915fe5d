"""The corpus that documents make: passages that differ, each in one split, some of them held out."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from embedrun.artifacts import SPLITS, Document
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.stages.sources.file_patterns import File
from embedrun_plugins.stages.sources.holdout import Holdout, RowGroups, hold_out
from embedrun_plugins.stages.sources.readers import DocumentContent
from embedrun_plugins.stages.sources.splitter import Passage

_FIRST_TO_KEEP = ("test", "dev", "train")


@dataclass
class Corpus:
    """Passages in the order of their files; equal ones of a split are one document."""

    titles: bool = False
    """Whether title and section stand in front of each text."""
    documents: list[Document] = field(default_factory=list)
    merged: int = 0
    _seen: set[tuple[str, str | None]] = field(default_factory=set)

    def add(self, file: File, reading: DocumentContent, passages: Sequence[Passage]) -> None:
        for passage in passages:
            document = _document(file, reading.title, passage, titles=self.titles)
            if (document.id, file.split) in self._seen:
                self.merged += 1
                continue
            self._seen.add((document.id, file.split))
            self.documents.append(document)

    def settle(self, ctx: Context, holdout: Holdout | None) -> None:
        """Leave each passage in one split only, and hold out.

        Of equal and nearly equal passages of several splits, those of the test stay, else those of dev. Raises
        DataError where so much cannot be held out, or nothing of a split is left.
        """
        splits = {document.metadata.get("split") for document in self.documents}
        if len(splits) < 2 and (holdout is None or holdout.by == "row"):  # noqa: PLR2004  # one split
            duplicates = array("q", range(len(self.documents)))
        else:
            from embedrun_plugins.stages.texts import near_duplicates

            def progress(done: float, total: float) -> None:
                ctx.progress("comparing passages", done, total)

            duplicates = array("q", near_duplicates.document_clusters(self.documents, progress=progress))
        if len(splits) > 1:
            duplicates = self._separate(ctx, duplicates)
        if holdout:
            self._hold_out(ctx, holdout, duplicates)

    def _separate(self, ctx: Context, duplicates: array[int]) -> array[int]:
        first = Counter[int]()
        ranks = [_FIRST_TO_KEEP.index(document.metadata["split"]) for document in self.documents]
        for duplicate, rank in zip(duplicates, ranks, strict=True):
            first[duplicate] = min(first.get(duplicate, rank), rank)
        kept = [rank == first[duplicate] for duplicate, rank in zip(duplicates, ranks, strict=True)]
        dropped = Counter(_FIRST_TO_KEEP[rank] for rank, keep in zip(ranks, kept, strict=True) if not keep)
        ctx.note("passages_dropped_as_in_two_splits", dropped.total())
        if dropped:
            ctx.warn(
                f"{dropped.total():,} passages that are in files of two splits, equal or nearly equal, are dropped "
                f"({_counted(dropped)}); those of test are kept, else those of dev"
            )
        self.documents = [document for document, keep in zip(self.documents, kept, strict=True) if keep]
        left = {document.metadata["split"] for document in self.documents}
        for split in (_FIRST_TO_KEEP[rank] for rank in sorted(set(ranks))):
            if split not in left:
                raise DataError(f"no passage is left to {split}: each is also in a file of another split")
        return array("q", (duplicate for duplicate, keep in zip(duplicates, kept, strict=True) if keep))

    def _hold_out(self, ctx: Context, holdout: Holdout, duplicates: array[int]) -> None:
        """Mark the passages whose questions are held out; all are searched still."""
        row_splits = array("b", (SPLITS.index(d.metadata.get("split", "train")) for d in self.documents))
        labels = range(len(self.documents)) if holdout.by == "row" else duplicates
        of_row = array("q", (label if split == 0 else -1 for label, split in zip(labels, row_splits, strict=True)))
        sizes = array("q", bytes(8 * (max(duplicates, default=0) + len(self.documents) + 1)))
        for group in of_row:
            if group >= 0:
                sizes[group] += 1
        hold_out(holdout, RowGroups(of_row, sizes), row_splits, seed=ctx.seed, unit="passages")
        held = Counter[str]()
        for index, document in enumerate(self.documents):
            if of_row[index] >= 0 and row_splits[index]:
                split = SPLITS[row_splits[index]]
                held[split] += 1
                self.documents[index] = replace(document, metadata={**document.metadata, "asked": split})
        for split in SPLITS[1:]:
            if held[split]:
                ctx.note(f"{split}_passages_held_out", held[split])


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} from {split}" for split, count in sorted(counts.items()))


def _document(file: File, title: str, passage: Passage, *, titles: bool) -> Document:
    metadata: dict[str, Any] = {"source": file.name}
    if passage.pages:
        metadata["pages"] = list(passage.pages)
    if title:
        metadata["title"] = title
    if passage.section:
        metadata["section"] = passage.section
    if file.split:
        metadata["split"] = file.split
    heading = ": ".join(dict.fromkeys(word for word in (title, passage.section) if word)) if titles else ""
    return replace(Document.of(passage.text, heading), metadata=metadata)
