"""Texts to vectors."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from embedrun import StageError
from embedrun.testing import tiny_model
from embedrun_plugins.models import encode
from embedrun_plugins.models.encode import distinct, embed
from embedrun_plugins.models.padding_free import allocation, ragged_attention
from embedrun_plugins.models.padding_free.forward import padding_free_training


@pytest.fixture
def loaded(tmp_path):
    return tiny_model(tmp_path / "tiny").load("cpu")


def test_distinct_texts_keep_their_order():
    texts, index = distinct(["b", "a", "b", "c"])
    assert texts == ["b", "a", "c"]
    assert index.tolist() == [0, 1, 0, 2]


def test_vectors_come_in_the_order_of_their_texts(loaded, monkeypatch):
    monkeypatch.setattr(encode, "BATCHES_PER_CHUNK", 1)
    texts = ["lamp", "the river and the stone", "lamp", "a violin in the garden", "copper", ""]
    done = []
    found = embed(loaded, texts, "document", 2, lambda *counts: done.append(counts))
    torch.testing.assert_close(found, torch.from_numpy(loaded.encode(texts)), atol=1e-5, rtol=0)
    assert done == [(0, 5), (2, 5), (4, 5), (5, 5)]
    assert torch.equal(found[0], found[2])


def test_vectors_are_the_models_own_also_in_the_middle_of_training(loaded):
    texts = [" ".join(["lamp", "river", "stone"][: 1 + n % 3] * (1 + n % 7)) for n in range(40)]
    expected = torch.from_numpy(loaded.encode(texts))
    with padding_free_training(loaded, "ragged"), allocation.keep_freed_memory():
        loaded.train()
        found = embed(loaded, texts, "query")
        assert loaded.transformers_model.config._attn_implementation == ragged_attention.NAME
        loaded.train()
        trained = loaded(dict(loaded.preprocess(texts)))["sentence_embedding"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert trained.requires_grad
    assert "forward" not in vars(loaded)
    assert loaded.transformers_model.config._attn_implementation == "sdpa"
    assert loaded.encode(["lamp"], output_value="token_embeddings")[0].shape[1] == 32


@pytest.mark.parametrize("role", ["query", "document"])
def test_no_padding_is_computed_on_a_cpu(loaded, role):
    seen = []
    loaded.transformers_model.embeddings.register_forward_hook(lambda *given: seen.append(given[-1].shape[:2]))
    embed(loaded, ["lamp", "lamp river stone", "lamp river stone cloud copper garden"], role)
    assert seen == [(1, 3 * 2 + 1 + 3 + 6)]


def test_nothing_gives_no_vectors(loaded):
    assert embed(loaded, [], "query").shape == (0, 32)


def test_half_precision_comes_back_as_float32(loaded):
    assert embed(loaded.bfloat16(), ["lamp"], "query").dtype == torch.float32


def test_a_diverged_model_is_named(loaded):
    with torch.no_grad():
        next(loaded.parameters()).fill_(float("nan"))
    with pytest.raises(StageError, match=r"vectors of 1 texts hold NaN or infinity, such as that of 'the lamp'"):
        embed(loaded, ["the lamp"], "query")


def test_every_batch_is_told(loaded):
    done = []
    texts = [f"lamp {number}" for number in range(300)]
    embed(loaded, texts, "document", 4, lambda *counts: done.append(counts))
    assert [total for _, total in done] == [300] * len(done)
    counts = [count for count, _ in done]
    assert counts == sorted(counts)
    assert max(b - a for a, b in pairwise(counts)) <= 128
    assert counts[-1] == 300
    assert "forward" not in vars(loaded)


def test_an_encoding_that_was_killed_goes_on_where_it_stopped(loaded, monkeypatch, tmp_path):
    monkeypatch.setattr(encode, "BATCHES_PER_CHUNK", 2)
    texts = [f"lamp {'river ' * (number % 9)}{number}" for number in range(40)]
    whole = embed(loaded, texts, "document", 4)

    def killed(done: float, total: float) -> None:
        if done > 0.6 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(loaded, texts, "document", 4, killed, tmp_path / "vectors")
    encoded = []
    plain = loaded.encode_document
    monkeypatch.setattr(loaded, "encode_document", lambda chunk, **more: encoded.extend(chunk) or plain(chunk, **more))
    again = embed(loaded, texts, "document", 4, shards=tmp_path / "vectors")
    assert torch.equal(again, whole)
    assert 16 <= len(encoded) <= 24
    assert embed(loaded, texts[:20], "query", 4, shards=tmp_path / "vectors").shape[0] == 20


def test_a_damaged_shard_is_encoded_again(loaded, monkeypatch, tmp_path):
    monkeypatch.setattr(encode, "BATCHES_PER_CHUNK", 1)
    texts = ["lamp", "river", "stone"]
    whole = embed(loaded, texts, "document", 2, shards=tmp_path / "vectors")
    for file in (tmp_path / "vectors").iterdir():
        file.write_bytes(file.read_bytes()[:-3])
    assert torch.equal(embed(loaded, texts, "document", 2, shards=tmp_path / "vectors"), whole)
