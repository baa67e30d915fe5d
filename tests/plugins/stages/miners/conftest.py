"""A corpus that a tiny model can search, and a cross-encoder made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedrun import Context, Document, Judgement, Query, RetrievalSet
from embedrun.testing import tiny_model

ITEMS = "anchor lamp river stone cloud copper garden violin harbour pepper window saddle lantern meadow timber glacier"


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("negatives") / "model")


@pytest.fixture
def make_context(tmp_path):
    def make(name: str = "run", seed: int = 42) -> Context:
        for folder in ("out", "state"):
            (tmp_path / name / folder).mkdir(parents=True)
        notes: dict[str, object] = {}
        warnings: list[str] = []
        context = Context(
            out=tmp_path / name / "out",
            state=tmp_path / name / "state",
            seed=seed,
            offline=True,
            device="cpu",
            on_note=notes.__setitem__,
            on_warning=warnings.append,
        )
        object.__setattr__(context, "notes", notes)
        object.__setattr__(context, "warnings", warnings)
        return context

    return make


@pytest.fixture
def corpus() -> list[Document]:
    """256 passages, each of two words of sixteen."""
    words = ITEMS.split()
    return [Document.of(f"The {one} is kept in the {other} of room.") for one in words for other in words]


@pytest.fixture
def make_set(tmp_path, corpus):
    """Write a set of `count` questions, the n-th on the n-th passage."""

    def make(count: int = 20, name: str = "set", **contents) -> RetrievalSet:
        documents = contents.pop("documents", corpus)
        asked = [Query.of(f"where is the {' '.join(d.text.split()[1::5])}?") for d in documents[:count]]
        pairs = [Judgement(query.id, document.id) for query, document in zip(asked, documents, strict=False)]
        given = {"queries": asked, "qrels": {"train": pairs}} | contents
        return RetrievalSet.write(tmp_path / name, documents=documents, **given)

    return make


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory, model) -> Path:
    """A random cross-encoder with the tiny model's tokenizer."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    plain, folder = (tmp_path_factory.mktemp("cross") / name for name in ("plain", "saved"))
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=1,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    CrossEncoder(str(plain), device="cpu").save_pretrained(str(folder))
    return folder
