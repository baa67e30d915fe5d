"""Questions generated per chunk, as LlamaIndex's fine-tuning examples keep them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from embedrun.artifacts import SPLITS, Document, Query, RetrievalSet, Role, Split
from embedrun.context import Context, InputPath
from embedrun.errors import DataError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Column, Source
from embedrun_plugins.stages.rehearsal.stand_ins import changed
from embedrun_plugins.stages.rehearsal.texts import Text, texts
from embedrun_plugins.stages.sources.beir_files import checked_id
from embedrun_plugins.stages.sources.holdout import HoldoutField, held_out_splits
from embedrun_plugins.stages.sources.identified_set import IdentifiedSet
from embedrun_plugins.stages.sources.json_values import json_value
from embedrun_plugins.stages.sources.opened_files import existing
from embedrun_plugins.stages.sources.rehearsal_rows import OTHERS, few_queries, held_out_of
from embedrun_plugins.stages.sources.set_writer import publish

_PARTS = ("corpus", "queries", "relevant_docs")


def _usual_names() -> dict[Split, str]:
    return {"train": "train", "test": "val"}


class LlamaIndex(Source):
    """Data sets of LlamaIndex's EmbeddingQAFinetuneDataset: a corpus, its questions and which chunk answers which.

    Each split is one file as its `save_json` writes it (train.json), or three (train_corpus.json, train_queries.json,
    train_relevant_docs.json). Questions search the chunks of their own split only. Ids are kept as given. Chunks and
    questions without text are dropped, with the judgements that name them, and counted.
    """

    type: Literal["llama_index"] = "llama_index"
    path: InputPath
    """The folder."""
    splits: dict[Split, str] = Field(default_factory=_usual_names, min_length=1)
    """What the names of each split's files start with: by default train for train, and val for test."""
    holdout: HoldoutField = None
    """Questions held out of the train split: a share (0.1) or a number (700) for the test split, or a mapping with
    `test`, `dev` and `by`; they search all chunks. By default none."""

    def files(self, split: Split) -> list[Path]:
        """Return a split's one file, or its three."""
        name = self.splits[split]
        whole = self.path / f"{name}.json"
        return [whole] if whole.is_file() else [self.path / f"{name}_{part}.json" for part in _PARTS]

    def inputs(self) -> Iterable[Path]:
        if not self.path.is_dir():
            return [self.path]
        return [file for split in self._ordered() for file in self.files(split)]

    def _ordered(self) -> list[Split]:
        return [split for split in SPLITS if split in self.splits]

    def faults(self) -> Iterable[str]:
        if self.holdout:
            yield from self.holdout.faults(frozenset(self.splits))

    def columns_given(self) -> frozenset[Column]:
        return frozenset({"positive"} if "train" in self.splits else ())

    def splits_given(self) -> frozenset[Split]:
        return frozenset(self.splits) | held_out_splits(self.holdout)

    def head(self, count: int) -> Mapping[Role, Sequence[str]]:
        """Return so many of the first chunks and questions of each split."""
        heads: dict[Role, list[str]] = {"document": [], "query": []}
        for split in self._ordered():
            corpus, queries, _ = _parts(self.files(split))
            heads["document"] += islice(corpus.values(), count // len(self.splits))
            heads["query"] += islice(queries.values(), count // len(self.splits))
        return heads

    def rehearsal(self, rehearsal: Rehearsal) -> LlamaIndex:
        count = few_queries(self.holdout)
        for number, split in enumerate(self._ordered()):
            files = self.files(split)
            if all(file.is_file() for file in files):
                content = _few_questions(files, count)
                rehearsal.note(f"{count} questions of {files[0].name}, with their chunks")
            else:
                content = _made_up(texts(count + OTHERS, number * (count + OTHERS)), count, split)
                rehearsal.note(f"{files[-1]} is not here: made-up chunks and questions are used instead", unsure=True)
            (rehearsal.folder / f"{split}.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
        names = {split: split for split in self.splits}
        return changed(self, path=rehearsal.folder, splits=names, holdout=held_out_of(count, self.holdout))

    def run(self, ctx: Context) -> RetrievalSet:
        collected = IdentifiedSet()
        dropped = sum(_read(collected, split, self.files(split)) for split in self._ordered())
        ctx.note("dropped", dropped)
        return publish(ctx, collected.contents(ctx, self.holdout))


def _read(collected: IdentifiedSet, split: Split, files: list[Path]) -> int:
    """Add a split; return how many chunks, questions and judgements were dropped."""
    corpus, queries, relevant = _parts(files)
    chunks = {id_: text.strip() for id_, text in corpus.items() if text.strip()}
    questions = {id_: text.strip() for id_, text in queries.items() if text.strip()}
    for id_, text in chunks.items():
        collected.add_document(str(files[0]), Document(id_, text, "", {"split": split}))
    for id_, text in questions.items():
        collected.add_query(str(files[len(files) // 2]), Query(id_, text))
    dropped = len(corpus) - len(chunks) + len(queries) - len(questions)
    for query_id, document_ids in relevant.items():
        for document_id in document_ids:
            if document_id not in corpus or query_id not in queries:
                missing = f"chunk '{document_id}'" if query_id in queries else f"question '{query_id}'"
                raise DataError(f"{files[-1]}: relevant_docs names a {missing} that is not there")
            if document_id not in chunks or query_id not in questions:
                dropped += 1
                continue
            query, document = collected.query_numbers[query_id], collected.document_numbers[document_id]
            collected.judge(split, query, document, 1.0)
    return dropped


def _parts(files: list[Path]) -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    values = [json_value(existing(file)) for file in files]
    parts = values if len(files) > 1 else [_object(files[0], values[0]).get(part) for part in _PARTS]
    sources = files if len(files) > 1 else files * len(_PARTS)
    corpus, queries, relevant = (_object(file, value) for file, value in zip(sources, parts, strict=True))
    for file, texts_by_id in ((sources[0], corpus), (sources[1], queries)):
        for id_, text in texts_by_id.items():
            if not isinstance(text, str):
                raise DataError(f"{file}: '{id_}' must be text, not {str(text)[:40]!r}")
            checked_id(str(file), id_)
    for id_, documents in relevant.items():
        if not isinstance(documents, list) or not all(isinstance(document, str) for document in documents):
            raise DataError(f"{sources[2]}: '{id_}' must be a list of the corpus's ids")
    return dict(corpus), dict(queries), dict(relevant)


def _object(file: Path, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value:
        raise DataError(
            f"{file}: must hold a JSON object: corpus {{id: text}}, queries and relevant_docs {{id: [ids]}}"
        )
    return value


def _few_questions(files: list[Path], count: int) -> dict[str, Any]:
    """Choose the first questions that share no chunk; what is laid out otherwise is left as it is, to be refused."""
    values = [json_value(file) for file in files]
    content = dict(zip(_PARTS, values, strict=True)) if len(values) > 1 else values[0]
    if not isinstance(content, dict) or not all(isinstance(content.get(part), dict) for part in _PARTS):
        return {"corpus": {}, **content} if isinstance(content, dict) else {}
    relevant: dict[str, Any] = {}
    taken: set[str] = set()
    for query, chunks in content["relevant_docs"].items():
        if len(relevant) < count and not taken.intersection(chunks):
            relevant[query] = chunks
            taken.update(chunks)
    kept = taken | set(islice(content["corpus"], OTHERS))
    queries = {id_: text for id_, text in content["queries"].items() if id_ in relevant}
    corpus = {id_: text for id_, text in content["corpus"].items() if id_ in kept}
    return {"corpus": corpus, "queries": queries, "relevant_docs": relevant}


def _made_up(pairs: list[Text], count: int, split: Split) -> dict[str, Any]:
    return {
        "corpus": {f"{split}-{n}": text.passage for n, text in enumerate(pairs)},
        "queries": {f"{split}-q{n}": text.question for n, text in enumerate(pairs[:count])},
        "relevant_docs": {f"{split}-q{n}": [f"{split}-{n}"] for n in range(count)},
    }
