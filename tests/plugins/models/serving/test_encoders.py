"""What waits to be encoded."""

import numpy as np
import psutil
import pytest

from embedrun.artifacts import Model
from embedrun_plugins.models.serving.encoders import BatchEncoder, encoder_for


@pytest.fixture(scope="module")
def encoder(model: Model) -> BatchEncoder:
    return encoder_for(model.load("cpu"))


def test_a_long_text_that_waits_takes_the_memory_of_what_the_model_reads_of_it(encoder: BatchEncoder) -> None:
    encoder.prepare(["lamp " * 12_000], "")
    before = psutil.Process().memory_info().rss
    waiting = [encoder.prepare(["lamp " * 12_000], "") for _ in range(200)]
    assert psutil.Process().memory_info().rss - before < 40 * 2**20
    assert {text.size for texts in waiting for text in texts} == {64}


def test_a_text_has_one_vector_whatever_it_is_padded_beside(encoder: BatchEncoder) -> None:
    texts = encoder.prepare(["Who books my train?", "lamp " * 100, "a"], "")
    together, alone = encoder.encode(texts), np.concatenate([encoder.encode([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5
