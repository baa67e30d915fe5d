"""`/rerank` as TEI's, Cohere's and Jina's clients use it: every score is the one that the model predicts."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import transformers
from starlette.testclient import TestClient

from embedrun.artifacts import Model
from embedrun.testing import tiny_model
from embedrun_plugins.models import cross_encoders
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.pairs import pair_encoder_for
from embedrun_plugins.models.serving.request_queue import PART_CHARACTERS
from embedrun_plugins.models.serving.rerank_app import RerankApp
from embedrun_plugins.models.serving.reranker import RequestReranker

QUERY = "where is the lamp?"
TEXTS = [
    "The river is kept in room 2 of house 2.",
    "The lamp is kept in room 1.",
    "stone",
    "The boat is in the garden of the house, where the window is, and the lamp, and the ladder, and the stone. " * 3,
]


@pytest.fixture(scope="module")
def reranker(tmp_path_factory) -> Model:
    folder = tmp_path_factory.mktemp("reranker")
    tiny_model(folder / "tiny")
    config = transformers.AutoConfig.from_pretrained(folder / "tiny-plain")
    config.num_labels = 1
    torch.manual_seed(3)
    model = transformers.BertForSequenceClassification(config)
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(folder / "reranker")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tiny-plain", model_max_length=64)
    tokenizer.save_pretrained(folder / "reranker")
    return Model(folder / "reranker")


@pytest.fixture(scope="module")
def client(reranker):
    metrics = Metrics()
    limits = ServerLimits(max_client_batch_size=100)
    with TestClient(RerankApp(RequestReranker(reranker, limits, metrics), metrics).starlette()) as client:
        yield client


@pytest.fixture(scope="module")
def predicted(reranker):
    return cross_encoders.load(reranker, "cpu").predict([(QUERY, text) for text in TEXTS])


def test_teis_form_gives_what_the_model_predicts_best_first(client, predicted):
    rows = client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "return_text": True}).json()
    assert [row["index"] for row in rows] == np.argsort(-predicted).tolist()
    assert all(row["text"] == TEXTS[row["index"]] for row in rows)
    np.testing.assert_allclose([row["score"] for row in rows], np.sort(predicted)[::-1], atol=1e-5)


def test_raw_scores_are_those_before_the_sigmoid(client, predicted):
    rows = client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "raw_scores": True}).json()
    raw = np.array([row["score"] for row in rows])
    np.testing.assert_allclose(1 / (1 + np.exp(-raw)), np.sort(predicted)[::-1], atol=1e-5)
    assert "text" not in rows[0]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_coheres_and_jinas_form(client, predicted, path):
    documents = [TEXTS[0], {"text": TEXTS[1]}, *TEXTS[2:]]
    body = {"model": "any", "query": QUERY, "documents": documents, "top_n": 2, "return_documents": True}
    answer = client.post(path, json=body).json()
    best = np.argsort(-predicted)[:2].tolist()
    assert [row["index"] for row in answer["results"]] == best
    assert [row["document"]["text"] for row in answer["results"]] == [TEXTS[index] for index in best]
    np.testing.assert_allclose([row["relevance_score"] for row in answer["results"]], predicted[best], atol=1e-5)
    assert answer["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"query": QUERY, "texts": []}, 400, "cannot be empty"),
        ({"query": QUERY}, 422, "texts"),
        ({"query": QUERY, "texts": ["a"] * 101}, 422, "maximum allowed batch size 100"),
        ({"query": QUERY, "texts": TEXTS, "truncate": False}, 422, "at most 64 tokens"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client, body, status, message):
    answer = client.post("/rerank", json=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_a_reranker_embeds_nothing_and_says_what_it_is(client):
    assert client.post("/embed", json={"inputs": "a"}).status_code == 424
    assert "reranker" in client.get("/info").json()["model_type"]
    assert client.get("/health").status_code == 200


def test_a_large_request_is_tokenized_in_parts_between_which_others_have_their_turn(reranker, predicted):
    queue, parts = RequestReranker(reranker, ServerLimits(), Metrics()), []

    def prepare(texts):
        parts.append(sum(len(text) + len(QUERY) for text in texts))
        return pair_encoder.prepare_pairs(QUERY, texts)

    pair_encoder = pair_encoder_for(cross_encoders.load(reranker, "cpu"))
    texts = [TEXTS[number % 4] for number in range(4000)]
    scores, tokens = asyncio.run(queue.computed(texts, prepare, beside=len(QUERY)))
    queue.close()
    assert len(parts) > 2
    assert max(parts) <= PART_CHARACTERS
    assert tokens > len(texts)
    np.testing.assert_allclose(1 / (1 + np.exp(-scores[:, 0])), np.tile(predicted, 1000), atol=1e-5)


def test_many_clients_get_their_own_scores(client, predicted):
    def ask(number):
        some = [TEXTS[number % 4], TEXTS[(number + 1) % 4]]
        rows = client.post("/rerank", json={"query": QUERY, "texts": some}).json()
        by_index = {row["index"]: row["score"] for row in rows}
        return [by_index[0] - predicted[number % 4], by_index[1] - predicted[(number + 1) % 4]]

    with ThreadPoolExecutor(16) as clients:
        differences = list(clients.map(ask, range(64)))
    assert np.abs(differences).max() < 1e-5
