"""Titan and Cohere on Bedrock: what is sent, what is kept, what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from embedrun.errors import DataError, StageError, UserError
from embedrun.model_settings import Prompts
from embedrun.testing import check_stage
from embedrun_plugins.stages.embedders.bedrock import BedrockEmbedder
from fake_embedders import bag_of_words

ENGLISH = "cohere.embed-english-v3"


def test_titan_gives_its_vectors_for_both_roles(services, connect):
    rival = connect(BedrockEmbedder(dimensions=256, normalize=True))
    texts = [f"passage {n}" for n in range(20)]
    found = rival.documents(*texts)
    assert (found.shape, found.dtype) == ((20, 256), np.float32)
    np.testing.assert_allclose(found, bag_of_words(256)(texts), atol=1e-7)
    assert services.asked[0][0] == "/model/amazon.titan-embed-text-v2:0/invoke"
    assert {k: v for k, v in services.asked[0][1].items() if k != "inputText"} == {"dimensions": 256, "normalize": True}
    assert rival.notes == {"texts asked": 20, "tokens": 40}
    assert rival.progress[-1] == ("bedrock: documents asked", 20, 20)
    assert (rival.encoder.similarity_fn_name, str(rival.encoder.device)) == ("cosine", "cpu")


def test_a_text_is_asked_for_once_in_either_role_and_by_every_run(services, connect):
    first = connect(BedrockEmbedder()).documents("one", "two")
    again = connect(BedrockEmbedder(concurrency=1, region="us-east-1", name="titan"))
    np.testing.assert_array_equal(again.queries("two", "one"), first[::-1])
    assert services.count("/invoke") == 2
    assert again.notes == {"texts answered before": 2}


def test_what_a_vector_depends_on_is_asked_anew(services, connect):
    for stage in (
        BedrockEmbedder(),
        BedrockEmbedder(dimensions=512),
        BedrockEmbedder(normalize=False),
        BedrockEmbedder(prompts=Prompts(query="Q: ")),
    ):
        connect(stage).queries("one")
    assert services.count("/invoke") == 4
    assert services.asked[-1][1]["inputText"] == "Q: one"


def test_cohere_is_told_the_role_and_asked_96_texts_at_a_time(services, connect, embedders):
    rival = connect(BedrockEmbedder(model=ENGLISH, concurrency=1))
    rival.documents(*(f"passage {n}" for n in range(100)))
    rival.queries("passage 1")
    sent = [(len(body["texts"]), body["input_type"]) for _, body, _ in services.asked]
    assert sent == [(96, "search_document"), (4, "search_document"), (1, "search_query")]
    assert rival.notes["tokens"] == 202


def test_texts_longer_than_the_service_takes_are_cut_and_counted_also_when_answered_before(services, connect):
    long = "word " * 1000
    for _ in range(2):
        rival = connect(BedrockEmbedder(model=ENGLISH))
        rival.documents(long, "short")
        assert rival.notes["documents cut"] == 1
        assert rival.warnings == ["documents that are longer than it reads are cut at their end"]
    assert max(len(text) for text in services.asked[0][1]["texts"]) == 2048
    assert services.count("/invoke") == 1


def test_titan_s_limit_of_tokens_is_met_by_cutting(services, connect, embedders):
    embedders.most_tokens = 1000
    rival = connect(BedrockEmbedder())
    rival.documents("word " * 2500)
    assert 900 <= len(embedders.texts[0].split()) <= 1000
    assert rival.notes["documents cut"] == 1


def test_blank_texts_are_zeros_and_cost_nothing(services, connect):
    found = connect(BedrockEmbedder()).documents("", "one", "  \n")
    assert not found[0].any()
    assert found[1].any()
    assert services.count("/invoke") == 1
    with pytest.raises(DataError, match="all of the 1 texts are blank"):
        connect(BedrockEmbedder()).documents("")


def test_throttling_and_broken_connections_are_tried_again(services, connect, embedders):
    embedders.failures = ["429", "broken"]
    assert connect(BedrockEmbedder(concurrency=1)).documents("one", "two").shape == (2, 1024)


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        ("expired", UserError, "the AWS session has expired"),
        ("unknown", UserError, "cannot call the model 'amazon.titan-embed-text-v2:0'.*model identifier is invalid"),
        ("denied", UserError, "request access to 'amazon.titan-embed-text-v2:0'"),
        ("429", StageError, "throttled, even after 3 tries"),
        ("garbage", StageError, "returned no embeddings"),
    ],
)
def test_what_goes_wrong_is_explained(services, connect, embedders, failure, kind, told):
    embedders.failures = [failure] * 3
    with pytest.raises(kind, match=told):
        connect(BedrockEmbedder()).documents("one")


def test_what_was_answered_before_a_failure_is_kept(services, connect, embedders):
    rival = connect(BedrockEmbedder(concurrency=1))
    embedders.failures = ["", "", "expired"]
    with pytest.raises(UserError, match="expired"):
        rival.documents("one", "two", "three", "four")
    connect(BedrockEmbedder()).documents("one", "two", "three", "four")
    assert embedders.texts[:2] == ["one", "two"]
    assert sorted(embedders.texts) == ["four", "one", "three", "two"]


def test_credentials_are_missed_only_where_something_must_be_asked(services, connect, monkeypatch, tmp_path):
    connect(BedrockEmbedder()).documents("one")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    connect(BedrockEmbedder()).documents("one")
    with pytest.raises(UserError, match="there are no AWS credentials"):
        connect(BedrockEmbedder()).documents("two")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": "amazon.titan-embed-text-v3:0"}, "is not a known model; did you mean 'amazon.titan-embed-te"),
        ({"model": "meta.llama3-70b-instruct-v1:0"}, "is not a known model; allowed: amazon.titan-embed-g1-text"),
        ({"dimensions": 300}, "has no vectors of 300; allowed: 1024, 512, 256"),
        ({"model": ENGLISH, "dimensions": 512}, "dimensions: cannot be chosen for 'cohere.embed-english-v3'"),
        ({"model": "amazon.titan-embed-text-v1", "normalize": True}, "normalize: cannot be chosen"),
    ],
)
def test_what_a_model_cannot_do_is_a_fault_before_anything_runs(given, told):
    (fault,) = BedrockEmbedder(**given).faults()
    assert told in fault


@pytest.mark.parametrize(
    "model", ["eu.cohere.embed-multilingual-v3", "amazon.titan-embed-text-v1", "amazon.titan-embed-g1-text-02", ENGLISH]
)
def test_models_are_told_by_their_ids(model):
    assert not list(BedrockEmbedder(model=model).faults())
    assert not list(BedrockEmbedder(model="arn:aws:bedrock:x:1:provisioned-model/abc", family="titan_v2").faults())


def test_it_keeps_the_contract(services, tmp_path):
    assert check_stage(BedrockEmbedder(), tmp_path).similarity_fn_name == "cosine"
    assert services.count("/invoke") == 6  # three texts, in two roles alike, twice
