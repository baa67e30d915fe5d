"""The folders that flow between stages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from embedrun import plain_files
from embedrun.errors import DataError
from embedrun.hashing import text_id
from embedrun.model_settings import ModelSettings
from embedrun.names import of_plugins

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
Role = Literal["query", "document"]
CUT_FROM = "cut_from"
"""In a document's metadata: the id of the one that it is a part of; it is trained on, but never searched."""


@dataclass(frozen=True, slots=True)
class Document:
    """A passage of the corpus. `full_text` is what every stage encodes: BEIR's title and text, one space between."""

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, title: str = "", **metadata: Any) -> Document:
        """Make a document whose id is the hash of its text, so that equal passages are one document."""
        return cls(text_id(f"{title}\x1f{text}" if title else text), text, title, metadata)

    @property
    def full_text(self) -> str:
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class Query:
    """A question that the corpus should answer."""

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, **metadata: Any) -> Query:
        """Make a query whose id is the hash of its text."""
        return cls(text_id(text), text, metadata)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How well a document answers a query: a line of qrels, or of mined negatives."""

    query_id: str
    document_id: str
    score: float = 1.0


@dataclass(frozen=True)
class RetrievalSet:
    """A corpus, its queries and their judgements, as a folder in BEIR layout.

    `corpus.jsonl` {_id, title, text, metadata}, `queries.jsonl` {_id, text, metadata},
    `qrels/{train,dev,test}.tsv` and `negatives/train.tsv` (query-id, corpus-id, score).
    """

    path: Path

    @classmethod
    def write(
        cls,
        path: Path,
        *,
        documents: Iterable[Document],
        queries: Iterable[Query],
        qrels: Mapping[Split, Iterable[Judgement]],
        negatives: Iterable[Judgement] = (),
    ) -> RetrievalSet:
        """Write a set in the order given; a document or query given twice is written once."""
        path.mkdir(parents=True, exist_ok=True)
        _write_jsonl(path / "corpus.jsonl", documents)
        _write_jsonl(path / "queries.jsonl", queries)
        for split, judgements in qrels.items():
            _write_tsv(path / "qrels" / f"{split}.tsv", judgements)
        _write_tsv(path / "negatives" / "train.tsv", negatives)
        return cls(path)

    @cached_property
    def documents(self) -> dict[str, Document]:
        """The corpus by id, in file order."""
        rows = _read_jsonl(self.path / "corpus.jsonl")
        return {r["_id"]: Document(r["_id"], r["text"], r.get("title") or "", r.get("metadata") or {}) for r in rows}

    @cached_property
    def queries(self) -> dict[str, Query]:
        """All queries by id, in file order; a split's are those that its qrels name."""
        rows = _read_jsonl(self.path / "queries.jsonl")
        return {r["_id"]: Query(r["_id"], r["text"], r.get("metadata") or {}) for r in rows}

    @property
    def splits(self) -> tuple[Split, ...]:
        return tuple(s for s in SPLITS if (self.path / "qrels" / f"{s}.tsv").exists())

    def qrels(self, split: Split) -> list[Judgement]:
        """Judgements of a split in file order; empty where the set has no such split."""
        return list(_read_tsv(self.path / "qrels" / f"{split}.tsv"))

    def negatives(self) -> list[Judgement]:
        """Negatives for training, best-ranked first for each query."""
        return list(_read_tsv(self.path / "negatives" / "train.tsv"))

    def relevant(self, split: Split) -> dict[str, dict[str, float]]:
        """Judged-relevant documents (score above 0) with their scores, by query id, in file order."""
        scores: dict[str, dict[str, float]] = {}
        for j in self.qrels(split):
            if j.score > 0:
                scores.setdefault(j.query_id, {})[j.document_id] = j.score
        return scores

    def searched(self, split: Split) -> list[Document]:
        """Documents that a split's queries search: those whose metadata names that split, else all that are whole."""
        whole = [d for d in self.documents.values() if CUT_FROM not in d.metadata]
        return [d for d in whole if d.metadata.get("split") == split] or whole


@dataclass(frozen=True)
class Model:
    """A sentence-transformers folder and the contract to load it with."""

    path: Path
    settings: ModelSettings = field(default_factory=ModelSettings)

    def load(self, device: str | None = None) -> SentenceTransformer:
        """Load with the contract applied: prompts under "query" and "document", length, pooling, normalisation.

        Raises DataError where the folder holds no model that can be loaded.
        """
        return cast("SentenceTransformer", of_plugins("model_loading")(self.path, self.settings, device))


class Encoder(Protocol):
    """What scoring uses of a model, be it loaded here or behind an API; a SentenceTransformer is one."""

    @property
    def device(self) -> torch.device:
        """Where similarities are computed."""

    @property
    def similarity_fn_name(self) -> Any:
        """How vectors are compared: cosine, dot, euclidean or manhattan."""

    def encode_query(self, inputs: list[str], *, batch_size: int, show_progress_bar: bool) -> NDArray[Any]:
        """Return (texts, dimensions), each text read as a query."""

    def encode_document(self, inputs: list[str], *, batch_size: int, show_progress_bar: bool) -> NDArray[Any]:
        """Return (texts, dimensions), each text read as a document."""


class PairScorer(Protocol):
    """What puts passages in order for a query: a loaded reranker."""

    def scores(self, pairs: Sequence[tuple[str, str]], label: str = "") -> NDArray[Any]:
        """Return how well each pair's second text answers its first, (pairs,); progress goes by the label."""


@dataclass(frozen=True)
class Scores:
    """What an evaluator found for one model.

    `metrics.json` {metric: value}, `per_query.json` {metric: {query id: value}} (may be absent), a TREC run file for
    each dimension (`run.trec`, `run.dim_128.trec`) and `qrels.trec`, the judgements that they were scored by.
    """

    path: Path

    @classmethod
    def write(
        cls, path: Path, metrics: Mapping[str, float], per_query: Mapping[str, Mapping[str, float]] | None = None
    ) -> Scores:
        path.mkdir(parents=True, exist_ok=True)
        plain_files.write_json(path / "metrics.json", metrics)
        if per_query is not None:
            plain_files.write_json(path / "per_query.json", per_query)
        return cls(path)

    @property
    def metrics(self) -> dict[str, float]:
        return dict(json.loads((self.path / "metrics.json").read_text("utf-8")))

    @cached_property
    def per_query(self) -> dict[str, dict[str, float]]:
        file = self.path / "per_query.json"
        return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}


@dataclass(frozen=True)
class Comparison:
    """How the models of a run compare under one evaluator: `comparison.json`, a list of rows."""

    path: Path

    @classmethod
    def write(cls, path: Path, rows: Iterable[Mapping[str, Any]]) -> Comparison:
        path.mkdir(parents=True, exist_ok=True)
        plain_files.write_json(path / "comparison.json", list(rows))
        return cls(path)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """{metric, against, base, model, role, difference, low, high, verdict, queries}; intervals may be None.

        `against` names what is compared with: "base", or a model of `compare_with`, whose value is under `base`.
        """
        return list(json.loads((self.path / "comparison.json").read_text("utf-8")))


class Endpoint(BaseModel):
    """Where a deployed model answers, and all that is needed to delete it: `endpoint.json`."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    deployer: str
    """Type of the deployer that made it, and that can delete it."""
    url: str | None = None
    """Where it answers, if over HTTP."""
    path: str | None = None
    """Folder that was written, if it is one."""
    details: dict[str, Any] = Field(default_factory=dict)
    """What the deployer needs to delete it; never a secret."""


_T = TypeVar("_T", Document, Query)


def _unique(items: Iterable[_T]) -> Iterator[_T]:
    seen: dict[str, int] = {}
    for item in items:
        content = hash(item.text)
        if item.id not in seen:
            seen[item.id] = content
            yield item
        elif seen[item.id] != content:
            raise DataError(f"id '{item.id}' stands for two texts; the second is {item.text[:60]!r}")


def _write_jsonl(file: Path, items: Iterable[_T]) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for item in _unique(items):
            title: dict[str, str] = {"title": item.title} if isinstance(item, Document) else {}
            row = {"_id": item.id, **title, "text": item.text, "metadata": dict(item.metadata)}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _read_jsonl(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as stream:
        yield from (json.loads(line) for line in stream)


def _write_tsv(file: Path, judgements: Iterable[Judgement]) -> None:
    """Write a file with a header, or none at all where there is nothing to write."""
    lines = (f"{j.query_id}\t{j.document_id}\t{float(j.score)!r}\n".replace(".0\n", "\n") for j in judgements)
    first = next(lines, None)
    if first is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(chain(["query-id\tcorpus-id\tscore\n", first], lines))


def _read_tsv(file: Path) -> Iterator[Judgement]:
    if not file.exists():
        return
    with file.open(encoding="utf-8") as stream:
        next(stream, None)
        for line in stream:
            query, document, score = line.rstrip("\n").split("\t")
            yield Judgement(query, document, float(score))
