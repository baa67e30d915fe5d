"""What the tests of sources share: running one, and the real data."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context
from embedrun.stages import Source


@dataclass
class Read:
    """What a source made, and what it said."""

    data: RetrievalSet
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def texts(self, split: str) -> set[tuple[str, str, float]]:
        """Question, passage and score of every judgement of a split."""
        queries, documents = self.data.queries, self.data.documents
        return {(queries[j.query_id].text, documents[j.document_id].text, j.score) for j in self.data.qrels(split)}

    def negatives(self) -> set[tuple[str, str, float]]:
        queries, documents = self.data.queries, self.data.documents
        return {(queries[j.query_id].text, documents[j.document_id].text, j.score) for j in self.data.negatives()}


ReplyReader = Callable[..., Read]


@pytest.fixture
def read(tmp_path: Path) -> ReplyReader:
    """Run a source in a folder of its own."""
    numbers = itertools.count()

    def run(source: Source, seed: int = 42, *, offline: bool = False, model: Model | None = None) -> Read:
        out = tmp_path / f"out{next(numbers)}"
        out.mkdir()
        notes: dict[str, Any] = {}
        warnings: list[str] = []
        context = Context(
            out,
            tmp_path,
            model=model,
            seed=seed,
            offline=offline,
            on_note=notes.__setitem__,
            on_warning=warnings.append,
        )
        return Read(source.run(context), json.loads(json.dumps(notes)), warnings)

    return run


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON lines."""

    def write(rows: Iterable[Mapping[str, Any]], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write files, given as text or bytes, into a folder for documents."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        place = tmp_path / "documents"
        place.mkdir(exist_ok=True)
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return place

    return write


@pytest.fixture
def harvest(tmp_path: Path, read: ReplyReader) -> ReplyReader:
    """Run the documents source with a tokenizer for which a word is a token, and a model that reads 32 of them."""

    def run(path: Any, seed: int = 42, **keys: Any) -> Read:
        from embedrun_plugins.stages.sources.documents import Documents
        from written_documents import tokenizer_only

        model = Model(tokenizer_only(tmp_path / "model"))
        return read(Documents.model_validate({"path": path, **keys}), seed, model=model)

    return run


@pytest.fixture
def shared() -> Path:
    """Real data that lies beside the project on the machines of its developers."""
    folder = Path(__file__).parents[4] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("the shared data is not on this machine")
    return folder
