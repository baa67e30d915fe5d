"""The check for plugin authors finds the stages that break what the engine relies on."""

from __future__ import annotations

import secrets
from typing import Literal

import numpy as np
import pytest

from embedrun import Context, Filter, Loss, RetrievalSet, Runtime, Source
from embedrun.stages import Embedder
from embedrun.testing import check_stage, small_set


class Encoder:
    """Encodes each text by its letters."""

    similarity_fn_name = "cosine"

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def encode_query(self, inputs, *, batch_size, show_progress_bar):
        vectors = np.array([[text.count(letter) for letter in "abcdefghilmnorstuv13"] for text in inputs], float)
        if self.fault == "random":
            vectors += secrets.randbelow(1000) + 1
        if self.fault == "infinite":
            vectors[0, 0] = np.inf
        if self.fault == "the same":
            vectors[:] = 1
        return vectors[0] if self.fault == "one" else vectors

    def encode_document(self, inputs, *, batch_size, show_progress_bar):
        vectors = self.encode_query(inputs, batch_size=batch_size, show_progress_bar=show_progress_bar)
        return vectors[:, :10] if self.fault == "narrow" else vectors


class Letters(Embedder):
    """Encodes by letters."""

    type: Literal["letters"] = "letters"
    fault: str = "none"
    """What it does wrong."""

    def connect(self, ctx):
        return Encoder(self.fault)


def test_an_embedder_that_encodes_passes(tmp_path):
    assert isinstance(check_stage(Letters(), tmp_path), Encoder)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("random", "other vectors the second time"),
        ("infinite", "not finite"),
        ("the same", "cannot tell texts apart"),
        ("one", r"must return \(texts, dimensions\)"),
        ("narrow", "queries and documents have different dimensions"),
    ],
)
def test_an_embedder_that_does_not_encode_fails(tmp_path, fault, message):
    with pytest.raises(AssertionError, match=message):
        check_stage(Letters(fault=fault), tmp_path)


class Odd(Loss):
    """Is no loss, or has parameters that nobody seeded."""

    type: Literal["odd"] = "odd"
    fault: str = "none"
    """What it does wrong."""

    def build(self, model):
        import torch

        if self.fault == "no module":
            return sum
        module = torch.nn.Linear(2, 2)
        if self.fault == "random":
            torch.nn.init.constant_(module.weight, secrets.randbelow(1_000_000) / 1000)
        return module


def test_a_loss_passes_if_it_is_a_module_that_is_the_same_both_times(tmp_path):
    assert check_stage(Odd(), tmp_path).in_features == 2
    for fault, message in {"no module": "must return a torch module", "random": "it differs in weight"}.items():
        with pytest.raises(AssertionError, match=message):
            check_stage(Odd(fault=fault), tmp_path / fault)


class Careless(Filter):
    """Writes nothing, what nobody can repeat, or returns something else."""

    type: Literal["careless"] = "careless"
    fault: str = "none"
    """What it does wrong."""

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        if self.fault == "nothing":
            return data
        made = small_set(ctx.out)
        if self.fault == "random":
            (ctx.out / "token").write_text(secrets.token_hex(), "utf-8")
        return data if self.fault == "another" else made


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nothing", "wrote nothing below ctx.out"),
        ("random", "two runs with the same seed differ in token"),
        ("another", "must return the artifact at ctx.out"),
    ],
)
def test_a_stage_that_breaks_the_contract_fails(tmp_path, fault, message):
    assert check_stage(Careless(), tmp_path / "sound").path.is_dir()
    with pytest.raises(AssertionError, match=message):
        check_stage(Careless(fault=fault), tmp_path / "faulty")


class Silent(Source):
    """Has a key that nobody explains."""

    type: Literal["silent"] = "silent"
    key: int = 1

    def columns_given(self):
        return frozenset({"positive"})

    def run(self, ctx: Context) -> RetrievalSet:
        return small_set(ctx.out)


class Elsewhere(Runtime):
    """Runs elsewhere."""

    type: Literal["elsewhere"] = "elsewhere"

    def run(self, job):
        raise NotImplementedError


def test_a_key_without_words_fails_and_a_runtime_cannot_be_checked(tmp_path):
    with pytest.raises(AssertionError, match="no documentation for key"):
        check_stage(Silent(), tmp_path)
    with pytest.raises(AssertionError, match="not a kind that can be checked"):
        check_stage(Elsewhere(), tmp_path)
