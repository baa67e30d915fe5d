"""Retrieval sets that exist already, as folders in BEIR layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from embedrun.artifacts import SPLITS, RetrievalSet, Role, Split
from embedrun.context import Context, InputPath, Resolver
from embedrun.errors import DataError, suggest
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Column, Source
from embedrun_plugins.stages.rehearsal.stand_ins import changed
from embedrun_plugins.stages.sources.beir_files import BeirReader, qrels_lines
from embedrun_plugins.stages.sources.columns import Columns
from embedrun_plugins.stages.sources.holdout import HoldoutField, held_out_splits
from embedrun_plugins.stages.sources.pairs import ANY_COLUMN, few_rows
from embedrun_plugins.stages.sources.rehearsal_rows import OTHERS, few_queries, held_out_of, write_rows
from embedrun_plugins.stages.sources.set_writer import publish
from embedrun_plugins.stages.sources.tables import open_table

_NAMES: Mapping[Split, tuple[str, ...]] = {
    "train": ("train",),
    "dev": ("dev", "validation", "valid", "val"),
    "test": ("test",),
}

_LOOKED_AT = 50_000
"""Documents of a corpus, from its beginning, that a rehearsal looks at."""
_Qrels = list[tuple[str, str, float]]
"""Query, document and score of each judgement."""


class Beir(Source):
    """A folder in BEIR layout: corpus.jsonl, queries.jsonl, qrels/*.tsv, and negatives/train.tsv if there is one.

    Judgements may be JSON lines, too (qrels/*.jsonl), as in MTEB's repositories.

    Ids and texts are kept as given, so that results can be scored with the folder's own judgements; equal passages
    with different ids therefore stay apart, and what that costs is noted. Queries without judgements are kept, empty
    ones dropped with their judgements and counted. corpus.jsonl and queries.jsonl may be packed with gzip (.jsonl.gz).
    Without qrels the set is a corpus, for a generator.
    """

    type: Literal["beir"] = "beir"
    path: InputPath
    """The folder."""
    splits: dict[Split, str] | None = Field(None, min_length=1)
    """Which file in qrels/ is which split, by name without .tsv: {train: train, test: test_with_source}.

    By default train, dev (or validation, valid, val) and test, as far as there are such files; the only file there is
    counts as train where something is held out."""
    unknown_ids: Literal["refuse", "drop"] = "refuse"
    """What becomes of judgements that name a query or document that is not there: refuse the folder, or drop and count
    them."""
    holdout: HoldoutField = None
    """Queries held out of the train split: a share (0.1) or a number (700) for the test split, or a mapping with
    `test`, `dev` and `by`. By default none."""

    def qrels(self) -> dict[Split, Path]:
        """Return the file of each split, as far as they are named or there."""
        folder = self.path / "qrels"
        if self.splits is not None:
            return {split: _qrels_file(folder, self.splits[split]) for split in SPLITS if split in self.splits}
        files = {
            split: file
            for split in SPLITS
            for name in reversed(_NAMES[split])
            if (file := _qrels_file(folder, name)).is_file()
        }
        return {"train": next(iter(files.values()))} if self.holdout and len(files) == 1 else files

    def negatives(self) -> Path | None:
        """Return the file of negatives if there is one."""
        file = self.path / "negatives" / "train.tsv"
        return file if file.is_file() else None

    def texts(self, name: str) -> Path:
        """Return the file of the corpus or of the queries, packed or not."""
        packed = self.path / f"{name}.jsonl.gz"
        return packed if packed.is_file() else self.path / f"{name}.jsonl"

    def inputs(self) -> Iterable[Path]:
        if not self.path.is_dir():
            return [self.path]
        qrels = self.qrels()
        queries = [self.texts("queries")] if qrels else []
        negatives = self.negatives()
        return [self.texts("corpus"), *queries, *qrels.values(), *([negatives] if negatives else [])]

    def resolve(self, resolver: Resolver) -> Self:  # noqa: ARG002  # the contract gives it
        """Fix which file is which split, which otherwise depends on what is there."""
        names = {split: path.stem for split, path in self.qrels().items()}
        return self.model_copy(update={"splits": names}) if names else self

    def faults(self) -> Iterable[str]:
        if self.path.is_file():
            yield f"path: {self.path} is a file; name the folder that holds corpus.jsonl"
        if self.holdout:
            yield from self.holdout.faults(frozenset(self.qrels()) or frozenset({"train"}))

    def columns_given(self) -> frozenset[Column]:
        """Look at the training judgements: they grade if their scores differ."""
        train = self.qrels().get("train")
        if train is None:
            judged: frozenset[Column] = frozenset({"positive"} if self.qrels() else ())
            return judged if self.path.is_dir() else ANY_COLUMN
        columns: set[Column] = {"positive", "negative"} if self.negatives() else {"positive"}
        try:
            scores = (score for _, _, _, score in qrels_lines(train))
            first = next(scores, 0.0)
            if any(score != first for score in scores):
                columns.add("score")
        except DataError:
            return ANY_COLUMN  # told when it runs
        # A miner's scores stand beside the negatives, as a teacher's would.
        return frozenset(columns | {"teacher_score"} if {"score", "negative"} <= columns else columns)

    def splits_given(self) -> frozenset[Split] | None:
        if not self.path.is_dir():
            return None
        return frozenset(self.qrels()) | held_out_splits(self.holdout)

    def head(self, count: int) -> Mapping[Role, Sequence[str]]:
        """Return so many of the first texts of each role."""
        names: Mapping[Role, str] = {"document": "corpus", "query": "queries"}
        files = {role: self.texts(name) for role, name in names.items()}
        return {role: _first_texts(file, count) for role, file in files.items() if file.is_file()}

    def rehearsal(self, rehearsal: Rehearsal) -> Source:
        if not self.path.is_dir():
            splits = self.splits or ({"train"} if self.holdout else SPLITS)
            missing = [(split, f"{self.path} is not here", None) for split in SPLITS if split in splits]
            return few_rows(rehearsal, missing, Columns(), self.holdout)
        count = few_queries(self.holdout)
        _cut_beir(self, rehearsal.folder, count)
        rehearsal.note(f"{count} queries of each split of {self.path.name}, with their documents")
        return changed(self, path=rehearsal.folder, holdout=held_out_of(count, self.holdout))

    def run(self, ctx: Context) -> RetrievalSet:
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder; it should hold corpus.jsonl, queries.jsonl and qrels/")
        self._check_qrels()
        reader = BeirReader(drop_unknown=self.unknown_ids == "drop")
        qrels = self.qrels()
        reader.read_corpus(self.texts("corpus"))
        if qrels or self.texts("queries").is_file():
            reader.read_queries(self.texts("queries"))
        for split, file in qrels.items():
            reader.read_qrels(split, file)
        negatives = self.negatives()
        if negatives and "train" in qrels:
            reader.read_negatives(negatives)
        if reader.dropped:
            ctx.note("judgements_dropped", reader.dropped)
        return publish(ctx, reader.collected.contents(ctx, self.holdout))

    def _check_qrels(self) -> None:
        there = sorted({file.stem for kind in ("tsv", "jsonl") for file in (self.path / "qrels").glob(f"*.{kind}")})
        for split, file in self.qrels().items():
            if not file.is_file():
                raise DataError(f"splits.{split}: {file}: no such file{suggest(file.stem, there)}")
        if there and not self.qrels():
            raise DataError(
                f"{self.path / 'qrels'}: which file is which split? Name them: splits: {{test: …}}; "
                f"there are: {', '.join(there)}"
            )


def _first_texts(file: Path, count: int) -> list[str]:
    rows = islice(open_table(file, "jsonl").read(()), count)
    return [f"{row.value('title') or ''} {row.value('text') or ''}".strip() for row in rows]


def _qrels_file(folder: Path, name: str) -> Path:
    """Return a split's file of judgements: TSV, or JSON lines as in MTEB's repositories where there is no TSV."""
    files = [folder / f"{name}.{kind}" for kind in ("tsv", "jsonl")]
    return next((file for file in files if file.is_file()), files[0])


def _cut_beir(stage: Beir, folder: Path, count: int) -> None:
    table = open_table(stage.texts("corpus"), "jsonl")
    corpus = {str(row.values.get("_id")): row.values for row in islice(table.read(()), _LOOKED_AT)}
    chosen: dict[Split, _Qrels] = {split: _some(file, corpus, count) for split, file in stage.qrels().items()}
    queries = {query for judged in chosen.values() for query, _, _ in judged}
    needed = {document for judged in chosen.values() for _, document, _ in judged}
    rejected = [line[1:] for line in qrels_lines(file)] if (file := stage.negatives()) else []
    rejected = [line for line in rejected if line[0] in queries and line[1] in corpus]
    needed |= {document for _, document, _ in rejected} | set(islice(corpus, OTHERS))
    write_rows(folder / "corpus.jsonl", (row for id_, row in corpus.items() if id_ in needed))
    if stage.qrels() or stage.texts("queries").is_file():
        rows = open_table(stage.texts("queries"), "jsonl").read(())
        write_rows(folder / "queries.jsonl", (r.values for r in rows if str(r.values.get("_id")) in queries))
    for split, file in stage.qrels().items():
        _write_judged(folder / "qrels" / f"{file.stem}.tsv", chosen[split])
    if rejected:
        _write_judged(folder / "negatives" / "train.tsv", rejected)


def _some(file: Path, corpus: Mapping[str, Any], count: int) -> _Qrels:
    """Choose the judgements of the first queries that share no document, so that some can be held out."""
    taken: dict[str, str] = {}
    chosen: dict[str, _Qrels] = {}
    for _, query, document, score in qrels_lines(file):
        if document in corpus and taken.setdefault(document, query) == query:
            if query not in chosen and len(chosen) == count:
                break
            chosen.setdefault(query, []).append((query, document, score))
    if not chosen:
        raise DataError(f"{file}: judges none of the first {len(corpus):,} documents of the corpus")
    return [judged for judgements in chosen.values() for judged in judgements]


def _write_judged(file: Path, judged: _Qrels) -> None:
    file.parent.mkdir(exist_ok=True)
    lines = (f"{query}\t{document}\t{score!r}\n" for query, document, score in judged)
    file.write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), "utf-8")
