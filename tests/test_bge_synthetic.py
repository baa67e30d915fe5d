"""The BGE example whole, on its two real filings, with a language model on loopback that has its moods.

Its endpoint is a simulated SageMaker's, with a stand-in for TEI that starts as TEI does.
"""

from __future__ import annotations

import pytest

import fake_embedders
import fake_llm
import loopback_aws
import model_containers
from embedrun_plugins.services import aws as embedrun_aws
from fake_services import serving

SMALL = [
    "model.id=sentence-transformers/all-MiniLM-L6-v2",
    "model.max_length=48",
    "generator.limit=60",
    "generator.max_failed=0.2",
    "negatives.per_query=2",
    "trainer.fp16=false",
    "trainer.max_steps=1",
    "trainer.batch_size=8",
    "trainer.gradient_accumulation_steps=1",
]
TROUBLES = fake_llm.Troubles(throttle=15, break_off=25, garbage=10, refusal=12, meta_question=6)


@pytest.fixture
def aws(monkeypatch, tmp_path):
    with loopback_aws.running(model_containers.text_embeddings_inference) as account:
        tries = embedrun_aws.TRIES
        account.use(monkeypatch, tmp_path)
        monkeypatch.setattr(embedrun_aws, "TRIES", tries)  # the language model's troubles need all of them
        yield account


@pytest.fixture
def services(data, aws, monkeypatch):
    model = fake_llm.FakeModel(TROUBLES, fake_llm.known_questions(data))
    with serving(*fake_llm.routes(model), *fake_embedders.routes()) as started:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", started.url)
        yield started


@pytest.mark.slow
def test_from_two_filings_to_an_endpoint_by_both_kinds_of_language_model(project, services, data, aws):
    settings = [*SMALL, f"source.path={data / 'llamaindex-10k/pdf'}"]
    words = [word for setting in settings for word in ("--set", setting)]
    done = project.run("bge_synthetic", *words, "--set", "deployer.latency.seconds=0.5", "--device", "cpu")
    assert done.code == 0, done.err
    for shown in ("base", "tuned", "merged", "titan", "merged against titan", "hit_rate@5", "mean_similar"):
        assert shown in done.out
    assert services.count("/converse") >= 60
    scaling = aws.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    assert project.run("verify", "bge_synthetic").code == 0
    assert "sagemaker_tei" in project.run("show", "bge_synthetic").out
    assert project.run("delete", "bge_synthetic").code == 0
    assert aws.left() == []

    asked = services.count("")
    server = ["generator.type=openai", f"generator.base_url={services.url}/v1", "generator.model=llama", *SMALL[1:2]]
    others = [word for setting in [*server, "generator.budget=null", "deployer=[]"] for word in ("--set", setting)]
    done = project.run("bge_synthetic", *words, *others, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    assert {"base", "tuned", "merged", "titan"} == set(done.json["scores"]["information_retrieval"])
    assert services.count("/v1/chat/completions") >= 60
    assert services.count("") > asked

    asked = services.count("")
    done = project.run("bge_synthetic", *words, *others, "--device", "cpu", "--json")
    assert all(stage["cached"] for stage in done.json["stages"])
    assert services.count("") == asked
