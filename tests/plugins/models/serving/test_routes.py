"""The server speaks TEI's, OpenAI's and SageMaker's routes, and gives the model's own vectors."""

import base64
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.testclient import TestClient

from embedrun.artifacts import Model
from embedrun.model_settings import ModelSettings
from embedrun_plugins.models.serving.app import App, rows_as_json
from embedrun_plugins.models.serving.embedder import RequestEmbedder
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.metrics import Metrics

TEXTS = ["How do I reset it?", "naïve café 🎉 東京", "x", "a long passage about revenue " * 30]


@pytest.fixture(scope="module")
def loaded(model: Model):
    return model.load("cpu")


def embed(client: TestClient, **body) -> np.ndarray:
    response = client.post("/embed", json=body)
    assert response.status_code == 200, response.text
    return np.array(response.json(), np.float32)


@pytest.mark.parametrize("path", ["/embed", "/", "/invocations"])
def test_a_list_gets_a_vector_for_each_text_and_a_text_a_list_of_one(client, loaded, path) -> None:
    many = np.array(client.post(path, json={"inputs": TEXTS}).json())
    one = np.array(client.post(path, json={"inputs": TEXTS[0]}).json())
    np.testing.assert_allclose(many, loaded.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(one, loaded.encode(TEXTS[:1]), atol=1e-5)


def test_prompts_are_chosen_by_name(client, loaded) -> None:
    np.testing.assert_allclose(embed(client, inputs=TEXTS, prompt_name="query"), loaded.encode_query(TEXTS), atol=1e-5)


def test_dimensions_are_cut_and_then_normalised(client, loaded) -> None:
    raw = loaded.encode(TEXTS)[:, :16]
    found = embed(client, inputs=TEXTS, dimensions=16)
    np.testing.assert_allclose(found, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-5)


def test_vectors_are_left_as_they_are_where_that_is_asked_for(client, loaded) -> None:
    found = embed(client, inputs=TEXTS, normalize=False)
    assert not np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=0.01)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, loaded.encode(TEXTS), atol=1e-5)


def test_the_end_that_is_cut_can_be_chosen(client, loaded) -> None:
    text = "first words " * 40 + "and now " + "last words " * 40
    assert not np.allclose(
        embed(client, inputs=text), embed(client, inputs=text, truncation_direction="Left"), atol=0.05
    )
    for direction in ("left", "right"):  # as huggingface_hub's client writes them
        other = embed(client, inputs=text, truncation_direction=direction.capitalize())
        np.testing.assert_allclose(embed(client, inputs=text, truncation_direction=direction), other, atol=1e-5)
    np.testing.assert_allclose(embed(client, inputs=text, truncate=True), loaded.encode([text]), atol=1e-5)


def test_similarity_is_the_cosine(client, loaded) -> None:
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    vectors = loaded.encode(TEXTS)
    np.testing.assert_allclose(client.post("/similarity", json=body).json(), vectors[1:] @ vectors[0], atol=1e-5)


def test_openai_clients_get_floats_or_base64_and_the_tokens_used(client, loaded) -> None:
    floats = client.post("/embeddings", json={"input": TEXTS, "model": "any"}).json()
    coded = client.post("/v1/embeddings", json={"input": TEXTS, "encoding_format": "base64"}).json()
    assert [row["index"] for row in floats["data"]] == [0, 1, 2, 3]
    assert floats["usage"]["prompt_tokens"] == floats["usage"]["total_tokens"] > 60
    np.testing.assert_allclose([row["embedding"] for row in floats["data"]], loaded.encode(TEXTS), atol=1e-5)
    decoded = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in coded["data"]]
    np.testing.assert_allclose(decoded, loaded.encode(TEXTS), atol=1e-5)


def test_tokens_are_shown(client) -> None:
    tokens = client.post("/tokenize", json={"inputs": "hello world"}).json()[0]
    assert [token["text"] for token in tokens] == ["[CLS]", "hello", "world", "[SEP]"]
    assert tokens[1] == {"id": 7592, "text": "hello", "special": False, "start": 0, "stop": 5}


def test_health_info_and_metrics_answer(client) -> None:
    assert [client.get(path).status_code for path in ("/health", "/ping", "/")] == [200, 200, 200]
    info = client.get("/info").json()
    assert info["max_input_length"] == 64
    assert info["prompts"]["query"] == "query: "
    embed(client, inputs="x")
    lines = client.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values["te_request_success"]) >= 1
    assert float(values["te_request_duration_count"]) == float(values["te_request_success"])
    assert values["te_queue_size"] == "0"


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        (b'{"inputs": []}', 400, "Empty", "`inputs` cannot be empty"),
        (b'{"inputs": ["a", ""]}', 400, "Empty", "`inputs` cannot be empty"),
        (b'{"inputs": ["a", 3]}', 422, "Validation", "`inputs.1`: Input should be a valid string"),
        (b'{"inputs": ["a"', 422, "Validation", "Invalid JSON"),
        (b'{"inputs": "\xff"}', 422, "Validation", "Invalid JSON"),
        (b"{}", 422, "Validation", "`inputs`: Field required"),
        (b'{"inputs": ["a","a","a","a","a","a","a","a","a"]}', 422, "Validation", "batch size 9 > maximum allowed"),
        (b'{"inputs": "a", "prompt_name": "questoin"}', 422, "Validation", "document, query"),
        (b'{"inputs": "a", "dimensions": 385}', 422, "Validation", "at most 384. Given: 385"),
        (b'{"inputs": "a", "dimensions": 0}', 422, "Validation", "`dimensions`"),
        (b'{"inputs": "' + b"a " * 100 + b'", "truncate": false}', 422, "Validation", "at most 64 tokens. Given: 102"),
        (b'{"inputs": "' + b"a" * 10_000 + b'"}', 413, "Validation", "longer than 10000 bytes"),
    ],
)
def test_errors_have_teis_codes_and_bodies(client, body, status, kind, message) -> None:
    response = client.post("/embed", content=body)
    assert (response.status_code, response.json()["error_type"]) == (status, kind)
    assert message in response.json()["error"]


@pytest.mark.parametrize("ids", [[6, 7], [[6, 7], [9]]])
def test_token_ids_of_another_vocabulary_are_refused_with_the_setting_that_sends_texts(client, ids) -> None:
    response = client.post("/v1/embeddings", json={"input": ids})
    assert response.status_code == 422
    assert "check_embedding_ctx_length=False" in response.json()["message"]


def test_as_many_texts_are_taken_as_chroma_sends_and_a_lower_limit_names_its_option(client, model) -> None:
    assert ServerLimits().max_client_batch_size > 5461
    for path in ("/embed", "/tokenize"):
        error = client.post(path, json={"inputs": ["a"] * 9}).json()["error"]
        assert "batch size 9 > maximum allowed batch size 8" in error
        assert "--client-batch-size" in error


def test_sagemakers_route_takes_a_body_as_long_as_sagemaker_passes_on(client) -> None:
    body = b'{"inputs": "' + b"lamp " * 1_258_286 + b'"}'
    assert len(body) < 6_291_456 < len(body) + 20
    assert client.post("/invocations", content=body).status_code == 200
    assert client.post("/invocations", content=body + b" " * 20).status_code == 413


def test_an_unknown_route_is_named(client) -> None:
    response = client.post("/embed_sparse", json={})
    assert response.status_code == 404
    assert "/embed_sparse" in response.json()["error"]


def test_an_embedder_says_that_it_is_no_reranker(client) -> None:
    response = client.post("/rerank", json={"query": "what?", "texts": ["that"]})
    assert response.status_code == 424
    assert "not a re-ranker" in response.json()["error"]


def test_a_key_is_asked_for_where_one_is_set(client, model) -> None:
    metrics = Metrics()
    embedder = RequestEmbedder(model, ServerLimits(), metrics)
    with TestClient(App(embedder, metrics, "secret").starlette()) as guarded:
        body = {"inputs": "x"}
        assert guarded.post("/embed", json=body).status_code == 401
        assert guarded.get("/info").status_code == 401
        assert guarded.post("/embed", json=body, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert guarded.post("/embed", json=body, headers={"Authorization": "Bearer secret"}).status_code == 200
        assert guarded.get("/health").status_code == 200


def test_requests_over_the_limit_are_told_so_and_the_others_answered(model, loaded) -> None:
    metrics = Metrics()
    embedder = RequestEmbedder(model, ServerLimits(max_concurrent_requests=2), metrics)
    with TestClient(App(embedder, metrics).starlette()) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.post("/embed", json={"inputs": TEXTS * 8}), range(16)))
    codes = {answer.status_code for answer in answers}
    assert codes == {200, 429}
    good = next(answer for answer in answers if answer.status_code == 200)
    np.testing.assert_allclose(good.json(), loaded.encode(TEXTS * 8), atol=1e-5)


def test_many_clients_at_once_each_get_their_own_vectors(client, loaded) -> None:
    requests = [[f"{n} {text[: 7 * n % 90 + 1]}" for text in TEXTS[: n % 4 + 1] * 2] for n in range(60)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda texts: embed(client, inputs=texts), requests))
    for texts, vectors in zip(requests, answers, strict=True):
        assert len(vectors) == len(texts)
        assert (vectors * loaded.encode(texts)).sum(axis=1).min() > 0.9999


def test_a_model_set_to_leave_its_vectors_as_they_are_is_served_so(minilm) -> None:
    model = Model(minilm, ModelSettings(normalize=False, dimensions=32))
    metrics = Metrics()
    with TestClient(App(RequestEmbedder(model, ServerLimits(), metrics), metrics).starlette()) as client:
        np.testing.assert_allclose(embed(client, inputs=TEXTS), model.load("cpu").encode(TEXTS), atol=1e-5)


def test_numbers_are_written_so_that_they_read_back_exactly() -> None:
    values = np.array([[0, -0.0, 1, 1e-20, -1e20, 1 / 3], [3.4e38, 1e-38, 0.1, 2, 1e-5, -7]], np.float32)
    again = np.array([np.fromstring(row[1:-1], sep=",", dtype=np.float64) for row in rows_as_json(values)], np.float32)
    np.testing.assert_array_equal(again, values)
