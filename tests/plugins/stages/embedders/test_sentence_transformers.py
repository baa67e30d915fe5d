"""Another model, with a contract of its own."""

from __future__ import annotations

import numpy as np
import pytest

from embedrun.context import Resolver
from embedrun.errors import UserError
from embedrun.model_settings import Prompts
from embedrun.testing import check_stage, tiny_model
from embedrun_plugins.stages.embedders.sentence_transformers import SentenceTransformersEmbedder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny").path


def test_its_contract_is_its_own(folder, connect):
    plain = connect(SentenceTransformersEmbedder(model=str(folder)))
    asked = connect(
        SentenceTransformersEmbedder(model=str(folder), prompts=Prompts(query="where is "), dimensions=8, pooling="cls")
    )
    assert plain.documents("the river").shape == (1, 32)
    assert asked.documents("the river").shape == (1, 8)
    assert not np.allclose(asked.queries("the river"), asked.documents("the river"))
    np.testing.assert_allclose(asked.queries("the river"), asked.documents("where is the river"), atol=1e-6)


def test_a_folder_is_hashed_and_a_missing_one_refused(folder, tmp_path):
    stage = SentenceTransformersEmbedder(model=str(folder))
    assert list(stage.inputs()) == [folder]
    assert stage.resolve(Resolver(offline=True)) == stage
    assert list(SentenceTransformersEmbedder(model="./nowhere").faults()) == ["model: no such folder: ./nowhere"]
    assert list(SentenceTransformersEmbedder(model=str(folder), revision="v1").faults())
    with pytest.raises(UserError, match="'someone/unknown' is not a folder here"):
        SentenceTransformersEmbedder(model="someone/unknown").resolve(Resolver(offline=True))


def test_it_keeps_the_contract(folder, tmp_path):
    encoder = check_stage(SentenceTransformersEmbedder(model=str(folder)), tmp_path)
    assert encoder.encode_query(["the river"], batch_size=1, show_progress_bar=False).shape == (1, 32)
