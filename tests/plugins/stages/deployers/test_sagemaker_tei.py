"""The deployer `sagemaker_tei`, against a loopback AWS with a stand-in for TEI that starts as TEI does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import model_containers
from embedrun_plugins.services.sagemaker import archive
from loopback_aws import LoopbackAws
from sagemaker_simulator import Running

RECIPE = """
name: chairs
model: {id: tiny, prompts: {query: "query: ", document: "passage: "}}
source: {type: pairs, path: pairs.jsonl}
deployer: {type: sagemaker_tei}
"""


@pytest.fixture
def aws(aws_account) -> LoopbackAws:
    return aws_account(model_containers.text_embeddings_inference)


@pytest.fixture
def chairs(deployable, aws):
    return deployable("chairs.yaml", RECIPE)


def test_all_that_tei_must_know_is_told_and_scaling_follows_the_requests(chairs, aws):
    words = ["--set", "deployer.instance_type=ml.g4dn.xlarge", "--set", "deployer.auto_scaling.max_instances=4"]
    done = chairs.run("run", "chairs.yaml", *words)
    assert done.code == 0, done.err
    assert list(aws.simulator.endpoints) == ["embedrun-chairs-sagemaker-tei"]
    (made,) = aws.simulator.models.values()
    assert "/tei:" in made["PrimaryContainer"]["Image"]
    assert made["EnableNetworkIsolation"] is True
    told = made["PrimaryContainer"]["Environment"]
    assert {"HF_MODEL_ID": "/opt/ml/model", "POOLING": "mean", "MAX_CLIENT_BATCH_SIZE": "32"}.items() <= told.items()
    scaling = aws.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["PredefinedMetricSpecification"]["PredefinedMetricType"] == "SageMakerVariantInvocationsPerInstance"
    assert (tracking["ScaleInCooldown"], tracking["ScaleOutCooldown"]) == (300, 60)
    assert chairs.run("delete", "chairs").code == 0
    assert aws.left() == []


def test_from_the_hub_nothing_is_uploaded_and_its_token_is_only_told_to_sagemaker(chairs, aws, tiny, monkeypatch):
    def fetched(image: str, environment: Mapping[str, str], folder: Path) -> Running:
        assert list(folder.iterdir()) == []
        return model_containers.serving(exported[0])

    from embedrun.artifacts import Model
    from embedrun.model_settings import ModelSettings, Prompts
    from embedrun_plugins.models.export import export

    exported = [chairs.folder / "pushed"]
    export(Model(tiny, ModelSettings(prompts=Prompts(query="query: ", document="passage: "))), exported[0])
    aws.simulator.launch = fetched
    monkeypatch.setattr(archive, "pack", lambda *_: pytest.fail("nothing is to be packed"))
    monkeypatch.setenv("READING_TOKEN", "hf_readingreadingreading")
    names = {"repo_id": "me/chairs", "revision": "0123abc", "token_env": "READING_TOKEN"}
    words = [word for name, value in names.items() for word in ("--set", f"deployer.{name}={value}")]
    done = chairs.run("run", "chairs.yaml", *words)
    assert done.code == 0, done.err
    (made,) = aws.simulator.models.values()
    assert "ModelDataUrl" not in made["PrimaryContainer"]
    assert made["EnableNetworkIsolation"] is False
    told = made["PrimaryContainer"]["Environment"]
    assert (told["HF_MODEL_ID"], told["REVISION"], told["HF_TOKEN"]) == (
        "me/chairs",
        "0123abc",
        "hf_readingreadingreading",
    )
    rehearsed = chairs.run("run", "chairs.yaml", *words, "--rehearse")
    assert rehearsed.code == 0, rehearsed.out + rehearsed.err
    kept = [file.read_bytes() for file in chairs.folder.rglob("*") if file.is_file()]
    assert not [text for text in (*kept, done.out.encode(), done.err.encode()) if b"hf_reading" in text]
    assert chairs.run("delete", "chairs").code == 0
    assert aws.left() == []


def test_what_tei_cannot_serve_is_refused_before_and_the_rest_rehearsed(chairs, aws):
    refused = chairs.run("check", "chairs.yaml", "--set", "model.pooling=max")
    assert refused.code == 2
    assert "TEI pools by cls, mean or lasttoken, and this model by max" in refused.err
    alone = chairs.run("check", "chairs.yaml", "--set", "deployer.revision=0123abc")
    assert "revision: has an effect only for a model from the hub (repo_id)" in alone.err
    rehearsed = chairs.run("run", "chairs.yaml", "--rehearse")
    assert rehearsed.code == 0, rehearsed.out + rehearsed.err
    assert "nothing is created at AWS" in rehearsed.out
    assert aws.front.calls == []
