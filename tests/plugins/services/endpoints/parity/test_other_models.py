"""Static models, and those with a route of their own for queries, are served and verified as what they are."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer

from embedrun.artifacts import Model
from embedrun.testing import tiny_model
from embedrun_plugins.services.endpoints.folder_transport import FolderTransport
from embedrun_plugins.services.endpoints.http_transport import HttpTransport
from embedrun_plugins.services.endpoints.parity.gate import Gate
from loopback import serving

TEXTS = ["where is the lamp?", "The river is kept in room 7."]


def static(folder: Path) -> SentenceTransformer:
    tiny_model(folder / "base")
    return SentenceTransformer(
        modules=[
            StaticEmbedding(Tokenizer.from_file(str(folder / "base/tokenizer.json")), embedding_dim=8),
            Normalize(),
        ]
    )


def routed(folder: Path) -> SentenceTransformer:
    routes = []
    for name in ("query", "document"):
        tiny_model(folder / name, pooling="mean" if name == "query" else "cls")
        routes.append([Transformer(str(folder / name)), Pooling(32, "mean" if name == "query" else "cls")])
    return SentenceTransformer(modules=[Router.for_query_document(*routes), Normalize()], device="cpu")


@pytest.mark.parametrize("build", [static, routed])
def test_it_is_served_and_verified(tmp_path: Path, build: Callable[[Path], SentenceTransformer]) -> None:
    loaded = build(tmp_path)
    loaded.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    model = Model(tmp_path / "model")
    gate = Gate.of(model)
    with closing(FolderTransport(model.path)) as transport:
        assert gate.prove(transport).holds
    with serving(model) as url, closing(HttpTransport(url)) as transport:
        assert gate.prove(transport).holds
        assert httpx.get(f"{url}/info").json()["max_input_length"] in (None, 64)
        for role, encode in (("query", loaded.encode_query), ("document", loaded.encode_document)):
            answer = httpx.post(f"{url}/embed", json={"inputs": TEXTS, "prompt_name": role}).json()
            np.testing.assert_allclose(answer, encode(TEXTS), atol=1e-5)
