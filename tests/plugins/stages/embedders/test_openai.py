"""Embeddings by OpenAI's API, on any server."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from embedrun.errors import StageError, UserError
from embedrun.model_settings import Prompts
from embedrun.testing import check_stage
from embedrun_plugins.stages.embedders.openai import OpenAIEmbedder
from fake_embedders import bag_of_words


@pytest.fixture
def rival(services, embedders, connect):
    def made(**given):
        return connect(OpenAIEmbedder(**{"model": embedders.model, "base_url": f"{services.url}/v1/", **given}))

    return made


def test_vectors_come_in_the_order_of_the_texts_with_their_prompts(services, rival):
    prompts = Prompts(query="search: ", document="")
    found = rival(dimensions=16, prompts=prompts, batch_size=3)
    texts = [f"passage {n}" for n in range(8)]
    np.testing.assert_allclose(found.documents(*texts), bag_of_words(16)(texts), atol=1e-7)
    np.testing.assert_allclose(found.queries("who"), bag_of_words(16)(["search: who"]), atol=1e-7)
    assert services.count("/v1/embeddings") == 4
    assert found.notes == {"texts asked": 9, "tokens": 18}


def test_no_key_or_account_of_openai_goes_to_another_server(services, rival, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    monkeypatch.setenv("SERVERS_KEY", "theirs")
    rival().documents("one")
    rival(api_key_env="SERVERS_KEY").documents("two")
    sent = [{name.lower(): value for name, value in headers.items()} for _, _, headers in services.asked]
    assert "not-for-them" not in str(sent)
    assert "secret" not in str(sent)
    assert sent[1]["authorization"] == "Bearer theirs"


def test_openai_itself_wants_the_key_but_only_for_what_is_not_known(connect, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = connect(OpenAIEmbedder(model="text-embedding-3-small"))
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        found.documents("one")


def test_long_texts_are_cut_to_what_the_model_reads(rival, embedders):
    embedders.most_tokens = 100
    found = rival()
    found.documents("short", "word " * 300, "also short")
    assert sorted(len(text.split()) for text in embedders.texts) == [1, 2, pytest.approx(95, abs=5)]
    assert found.notes["documents cut"] == 1


def test_a_text_is_asked_for_once(services, rival):
    rival().documents("one", "two")
    rival().queries("two", "three")
    assert [body["input"] for path, body, _ in services.asked if path == "/v1/embeddings"] == [
        ["one", "two"],
        ["three"],
    ]


def test_failures_that_may_pass_are_tried_again(rival, embedders):
    embedders.failures = ["429", "503", "broken"]
    assert rival().documents("one").shape == (1, 64)


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        ("expired", UserError, "key is not accepted: Incorrect API key"),
        ("quota", UserError, "no credit left"),
        ("429", StageError, "throttled, even after 6 tries"),
        ("garbage", StageError, "sent 0 vectors for 1 texts"),
    ],
)
def test_what_goes_wrong_is_explained(rival, embedders, failure, kind, told):
    embedders.failures = [failure] * 6
    with pytest.raises(kind, match=told):
        rival().documents("one")


def test_an_unknown_model_and_a_dead_server_are_named(services, rival):
    with pytest.raises(UserError, match=r"BAAI/bge-base-en-v2.*did you mean 'BAAI/bge-base-en-v1.5'"):
        rival(model="BAAI/bge-base-en-v2").documents("one")
    with pytest.raises(UserError, match="nothing answers there"):
        rival(base_url="http://127.0.0.1:9/v1").documents("one")


def test_a_server_that_does_not_cut_is_found_out(rival, embedders):
    embedders.ignores_dimensions = True
    with pytest.raises(UserError, match="asked for vectors of 16 dimensions and sent 64"):
        rival(dimensions=16).documents("one")


@pytest.mark.parametrize("sent", [[float("nan"), 1.0], [None, 1.0], [], "AACAPw=="])
def test_what_is_no_vector_is_not_kept(rival, embedders, sent):
    embedders.embed = lambda texts: [sent] * len(texts)
    with pytest.raises(StageError, match="not a vector of finite numbers"):
        rival().documents("one")
    embedders.embed = None
    assert rival().documents("one").any()


def test_a_model_that_changed_under_its_name_is_found_out(rival, embedders):
    found = rival()
    found.documents("one")
    embedders.embed = bag_of_words(32)
    with pytest.raises(StageError, match="vectors of different dimensions: 32, 64"):
        found.documents("one", "two")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"base_url": "localhost:8000/v1"}, "starts with http:// or https://"),
        ({"base_url": "https://me:secret@host/v1"}, "no user or password"),
        ({"base_url": "https://host:99999/v1"}, "port"),
        ({"api_key_env": "sk_live_aaaaaaaaaaaaaaaaaaaaaaaa"}, "name of an environment variable"),
    ],
)
def test_wrong_addresses_and_keys_are_refused(given, told):
    with pytest.raises(ValidationError, match=told) as refused:
        OpenAIEmbedder(model="m", **given)
    assert told in str(refused.value)


def test_a_key_that_crosses_the_network_in_the_open_is_warned_of(connect, monkeypatch):
    found = connect(OpenAIEmbedder(model="m", base_url="http://gpu.example/v1", api_key_env="SERVERS_KEY"))
    assert "not encrypted, and the key in SERVERS_KEY goes there" in found.warnings[0]


def test_it_keeps_the_contract(services, embedders, tmp_path):
    stage = OpenAIEmbedder(model=embedders.model, base_url=f"{services.url}/v1/")
    assert check_stage(stage, tmp_path).similarity_fn_name == "cosine"
    assert services.count("/v1/embeddings") == 2
