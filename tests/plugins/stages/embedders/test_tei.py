"""Text Embeddings Inference, as another model to compare with."""

from __future__ import annotations

import numpy as np
import pytest

from embedrun.errors import StageError, UserError
from embedrun.model_settings import Prompts
from embedrun_plugins.services.addresses import is_local
from embedrun_plugins.stages.embedders.tei import PromptNames, TeiEmbedder
from fake_embedders import bag_of_words


@pytest.fixture
def rival(services, connect):
    def made(**given):
        return connect(TeiEmbedder(**{"url": services.url, **given}))

    return made


def test_texts_go_32_at_a_time_to_be_cut_by_the_server(services, rival):
    found = rival(batch_size=100, concurrency=1)
    texts = [f"passage {n}" for n in range(40)]
    np.testing.assert_allclose(found.documents(*texts), bag_of_words(48)(texts), atol=1e-7)
    sent = [body for path, body, _ in services.asked if path == "/embed"]
    assert [len(body["inputs"]) for body in sent] == [32, 8]
    assert {k: v for k, v in sent[0].items() if k != "inputs"} == {"truncate": True, "normalize": True}
    assert found.notes == {"model": "BAAI/bge-base-en-v1.5", "tokens read at most": 512, "texts asked": 40}


def test_prompts_are_put_here_or_named_there(services, rival):
    by_name = rival(prompt_names=PromptNames(query="query"))
    here = rival(prompts=Prompts(query="ask "))
    np.testing.assert_array_equal(by_name.queries("who"), here.queries("who"))
    assert services.asked[2][1]["prompt_name"] == "query"
    np.testing.assert_array_equal(by_name.documents("who"), here.documents("who"))
    assert services.count("/embed") == 3
    (fault,) = TeiEmbedder(url=services.url, prompts=Prompts(query="a"), prompt_names=PromptNames(query="b")).faults()
    assert fault == "prompt_names: the query has a prompt under 'prompts', too; leave one out"


def test_no_saved_token_is_sent_and_the_server_s_own_key_is(services, rival, monkeypatch):
    monkeypatch.setenv("TEI_KEY", "theirs")
    rival().documents("one")
    assert not [headers for _, _, headers in services.asked if "Authorization" in headers or "authorization" in headers]
    rival(api_key_env="TEI_KEY").documents("two")
    assert services.asked[-1][2]["authorization"] == "Bearer theirs"
    monkeypatch.delenv("TEI_KEY")
    with pytest.raises(UserError, match="tei: the environment variable TEI_KEY is not set"):
        rival(api_key_env="TEI_KEY")


def test_answers_are_kept_by_what_is_served(services, rival, embedders):
    rival().documents("one")
    rival().documents("one")
    assert services.count("/embed") == 1
    embedders.sha = "another"
    rival().documents("one")
    assert services.count("/embed") == 2
    embedders.reads = 256
    rival().documents("one")
    assert services.count("/embed") == 3


@pytest.mark.parametrize(
    ("url", "here"),
    [("http://localhost:1", True), ("http://127.0.0.9", True), ("http://[::1]:80", True), ("http://127.x.org", False)],
)
def test_what_is_on_this_machine_is_known(url, here):
    assert is_local(url) is here
    assert is_local(None) is False


def test_the_model_served_is_checked(rival, embedders):
    rival(model="BAAI/bge-base-en-v1.5")
    with pytest.raises(UserError, match=r"serves 'BAAI/bge-base-en-v1.5', not 'BAAI/bge-m3'"):
        rival(model="BAAI/bge-m3")
    embedders.kind = "reranker"
    with pytest.raises(UserError, match="a reranker model"):
        rival()


def test_bodies_over_the_server_s_limit_are_sent_in_parts(services, rival, embedders):
    embedders.most_bytes = 500
    found = rival()
    texts = [f"{n} " + "word " * 30 for n in range(10)]
    np.testing.assert_allclose(found.documents(*texts), bag_of_words(48)(texts), atol=1e-7)
    found.documents("long " * 200)
    assert found.notes["documents cut"] == 1


def test_failures_that_may_pass_are_tried_again(rival, embedders):
    embedders.failures = ["429", "503", "broken"]
    assert rival().documents("one").shape == (1, 48)


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        ("429", StageError, "overloaded, even after 6 tries"),
        ("503", StageError, "not healthy, or is still loading its model"),
        ("424", StageError, "cannot run its model: CUDA_ERROR_OUT_OF_MEMORY"),
        ("expired", UserError, "does not accept requests without a key"),
        ("garbage", StageError, "returned no vectors"),
        ("broken", StageError, "does not answer: the connection broke"),
    ],
)
def test_what_goes_wrong_is_explained(rival, embedders, failure, kind, told):
    found = rival()
    embedders.failures = [failure] * 6
    with pytest.raises(kind, match=told):
        found.documents("one")


def test_an_unknown_prompt_a_wrong_address_and_a_dead_server_are_named(services, rival):
    with pytest.raises(UserError, match=r"`ask` was not found.*prompt_names"):
        rival(prompt_names=PromptNames(query="ask")).queries("one")
    with pytest.raises(UserError, match="give its address without /embed"):
        rival(url=f"{services.url}/embed")
    with pytest.raises(UserError, match=r"nothing answers at http://127.0.0.1:9 \(Connection refused\)"):
        rival(url="http://127.0.0.1:9")
