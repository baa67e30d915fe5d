"""Batches embedded in parts give the vectors and gradients of padded ones, for every way and architecture."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from transformers import AutoConfig, AutoModel, BertTokenizer, DataCollatorWithFlattening

from embedrun_plugins.models.padding_free import forward, length_groups, ragged_attention
from embedrun_plugins.stages.trainers.pretokenized import Tokens
from words import WORDS

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
}
OTHER_NAMES = {"distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}}


def tokenizer(**given):
    letters = [prefix + chr(code) for code in range(97, 123) for prefix in ("", "##")][:26]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters]
    return BertTokenizer(vocab={word: number for number, word in enumerate(words)}, **given)


@pytest.fixture
def build(tmp_path):
    def make(kind="bert", pooling="mean", include_prompt=True, dense=False, side="right", max_length=40, **config):
        folder = tmp_path / kind
        torch.manual_seed(1)
        sizes = {**SIZES, **OTHER_NAMES.get(kind, {}), **config}
        AutoModel.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(folder)
        tokenizer(padding_side=side).save_pretrained(folder)
        modules = [
            Transformer(str(folder), max_seq_length=max_length),
            Pooling(32, pooling_mode=pooling, include_prompt=include_prompt),
            *([Dense(32, 16)] if dense else []),
            Normalize(),
        ]
        model = SentenceTransformer(modules=modules, device="cpu").train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        return model

    return make


def texts(count=23, most=60):
    source = random.Random(5)
    return [" ".join(source.choices(WORDS, k=source.randint(1, most))) for _ in range(count)]


def embedded(model, features):
    model.zero_grad()
    vectors = model(dict(features))["sentence_embedding"]
    (vectors * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return vectors.detach(), gradients


def check(model, how, prompt=None, given=None):
    features = model.preprocess(given or texts(), prompt=prompt)
    plain, gradients = embedded(model, features)
    with forward.padding_free_training(model, how):
        joined, others = embedded(model, features)
    assert torch.allclose(joined, plain, atol=1e-5)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, others[name], rtol=1e-3, atol=1e-3), name
    again, _ = embedded(model, features)
    assert torch.equal(again, plain)


@pytest.mark.parametrize("kind", sorted(ragged_attention.MODEL_TYPES))
@pytest.mark.parametrize("how", ["ragged", "groups"])
def test_architectures_without_padding(kind, how, build):
    model = build(kind)
    assert forward.strategy(model) == "ragged"
    check(model, how)


@pytest.mark.parametrize("kind", ["mpnet", "modernbert"])
def test_other_architectures_in_groups(kind, build):
    model = build(kind)
    assert forward.strategy(model) == "groups"
    check(model, "groups")


@pytest.mark.parametrize("pooling", Pooling.POOLING_MODES)
@pytest.mark.parametrize("how", ["ragged", "groups"])
def test_every_pooling(pooling, how, build):
    check(build(pooling=pooling, dense=True), how)


@pytest.mark.parametrize("how", ["ragged", "groups"])
def test_prompts_that_are_left_out_of_the_vectors(how, build):
    check(build(include_prompt=False), how, prompt="stone river ")


def test_one_text_and_texts_of_one_length(build):
    model = build()
    check(model, "ragged", given=["lamp"])
    check(model, "groups", given=["lamp river"] * 3)


def test_what_cannot_be_told_is_left_alone(build):
    assert forward.strategy(build(side="left")) is None
    model = build()
    transformer = model[0].model
    transformer.set_attn_implementation("eager")
    assert forward.strategy(model) == "groups"


def test_a_batch_is_packed_as_transformers_packs_it(build):
    features = build().preprocess(texts())
    rows = [
        row[mask.bool()].tolist() for row, mask in zip(features["input_ids"], features["attention_mask"], strict=True)
    ]
    collate = DataCollatorWithFlattening(return_flash_attn_kwargs=True, return_position_ids=True)
    theirs = collate([{"input_ids": row} for row in rows])
    ours = forward.packed(features, [len(row) for row in rows])
    for name in ("input_ids", "position_ids", "cu_seq_lens_q", "cu_seq_lens_k"):
        assert torch.equal(ours[name], theirs[name]), name
        assert ours[name].dtype == theirs[name].dtype
    assert (ours["max_length_q"], ours["max_length_k"]) == (theirs["max_length_q"], theirs["max_length_k"])


def test_columns_become_one_batch_unless_their_prompts_count(build):
    model = build()
    columns = [model.preprocess(texts(4, 5)), model.preprocess(texts(4, 30))]
    batch = forward.concatenate(columns)
    assert batch["input_ids"].shape == (8, columns[1]["input_ids"].shape[1])
    assert forward.concatenate([columns[0], model.preprocess(texts(4), prompt="lamp ")]) is None
    assert forward.concatenate([{**column, "pixel_values": 1} for column in columns]) is None


@pytest.mark.parametrize("overhead", [0, 10, 1000])
def test_groups_are_the_cheapest(overhead):
    counts = [3, 44, 12, 20, 52, 100, 60, 28]

    def cost(made):
        return sum(overhead + len(group) * max(counts[place] for place in group) for group in made)

    found = length_groups.groups(counts, overhead)
    assert sorted(itertools.chain(*found)) == list(range(len(counts)))
    order = sorted(range(len(counts)), key=counts.__getitem__)
    everything = []
    for cuts in itertools.product([False, True], repeat=len(counts) - 1):
        bounds = [0, *(place + 1 for place, cut in enumerate(cuts) if cut), len(counts)]
        everything.append([order[begin:end] for begin, end in itertools.pairwise(bounds)])
    assert cost(found) == min(map(cost, everything))
    assert len(length_groups.groups(counts, 1e9)) == 1


def test_parts_hold_about_as_many_tokens():
    counts = [random.Random(1).randint(3, 90) for _ in range(200)]
    made = length_groups.parts(counts, 1000)
    assert sorted(itertools.chain(*made)) == list(range(200))
    assert all(800 < sum(counts[place] for place in part) < 1200 for part in made)
    assert length_groups.parts([5], 1000) == [[0]]


@pytest.mark.parametrize(
    "options",
    [{}, {"side": "left"}, {"include_prompt": False}, {"max_length": 9}, {"kind": "distilbert"}, {"kind": "roberta"}],
    ids=str,
)
def test_tokens_are_those_of_the_model(options, build):
    model = build(**options)
    given = texts()
    made = Tokens.of(model, {"": given, "stone River ": given[:9]})
    for prompt, some in ((None, given), ("stone River ", given[4:8]), (None, given[:1]), ("lamp ", given[:2])):
        theirs, ours = model.preprocess(some, prompt=prompt), made(some, prompt=prompt)
        assert theirs.keys() == ours.keys()
        for name, value in theirs.items():
            same = torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else ours[name] == value
            assert same, name
            assert not isinstance(value, torch.Tensor) or value.dtype == ours[name].dtype


def test_texts_that_were_not_seen_are_tokenized_then(build):
    model = build()
    made = Tokens.of(model, {"": ["lamp"]})
    assert torch.equal(made(["river lamp"])["input_ids"], model.preprocess(["river lamp"])["input_ids"])


def test_models_without_plain_tokens_are_left_alone():
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer().backend_tokenizer, embedding_dim=8)], device="cpu")
    assert Tokens.of(model, {"": ["lamp"]}) is None
    assert forward.strategy(model) is None
