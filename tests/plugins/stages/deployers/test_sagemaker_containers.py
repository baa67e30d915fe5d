"""Deployments to SageMaker behind which real containers run, on the real engine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import huggingface_container
import loopback_aws
import tei_standin
from embedrun.artifacts import Model
from embedrun_plugins.models import export
from embedrun_plugins.services.tei import compatibility
from loopback_aws import LoopbackAws
from model_containers import Engine

pytestmark = [pytest.mark.docker, pytest.mark.aws]
ROWS = [
    {"sentence1": f"how do I use feature {n}?", "sentence2": f"Feature {n} is under Tools, {n}."} for n in range(20)
]
SMALL = ["trainer.max_steps=2", "evaluator.0.pairs.0.min=null", "source.path=training.json"]
START = """
[ -n "$HF_MODEL_ID" ] || { echo "HF_MODEL_ID must be set" >&2; exit 1; }
export MODEL_ID="$HF_MODEL_ID"
exec python3 /opt/tei/router.py --port "${PORT:-8080}" --json-output
"""
"""As the entry point of SageMaker's TEI image, which is told everything by its environment."""


@pytest.fixture(scope="module")
def hugging_face(engine, base) -> str:
    return huggingface_container.built(engine, base)


@pytest.fixture(scope="module")
def tei(engine, image) -> Iterator[str]:
    """The stand-in for TEI, started as SageMaker's image is: by the environment alone, on port 8080."""
    lines = [
        f"FROM {tei_standin.build(engine, image.reference)}",
        "COPY start.sh /opt/tei/start.sh",
        'ENTRYPOINT ["sh", "/opt/tei/start.sh"]',
    ]
    context = huggingface_container.tar({"Dockerfile": "\n".join(lines), "start.sh": START})
    name = "embedrun-test-sagemaker-tei:1"
    engine.images.build(fileobj=context, custom_context=True, tag=name, rm=True)
    yield name
    engine.images.remove(name, force=True)


FAQ = Path(__file__).parents[5] / "shared/data/bedrock-faqs/training.json"
"""The example's own data, on its developers' machines."""
SHORT = [] if os.environ.get("EMBEDRUN_TEST_WHOLE") else ["trainer.epochs=5", "evaluator.0.pairs.0.min=null"]
"""A hundred epochs take a quarter of an hour."""


def account(launch: Engine, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[LoopbackAws]:
    with loopback_aws.running(launch) as found:
        found.use(monkeypatch, folder)
        yield found


def deployed(project, recipe: str, *settings: str) -> Any:
    project.write("training.json", json.dumps(ROWS))
    words = [word for setting in settings for word in ("--set", setting)]
    return project.run("run", recipe, *words, "--json", "--device", "cpu")


def test_the_faq_recipe_ends_in_aws_container_and_leaves_nothing(
    engine, hugging_face, project, minilm, monkeypatch, tmp_path
):
    """On the example's own data where that is at hand; with $EMBEDRUN_TEST_WHOLE the recipe is unchanged."""
    launch = Engine(engine, {"huggingface-pytorch-inference": hugging_face})
    for aws in account(launch, monkeypatch, tmp_path):
        done = deployed(project, "sagemaker_faq", *([f"source.path={FAQ}", *SHORT] if FAQ.exists() else SMALL))
        assert done.code == 0, done.err
        (made,) = aws.simulator.models.values()
        assert "huggingface-pytorch-inference" in made["PrimaryContainer"]["Image"]
        assert aws.left()
        verified = project.run("verify", "sagemaker_faq")
        assert verified.code == 0, verified.out + verified.err
        deleted = project.run("delete", "sagemaker_faq")
        assert deleted.code == 0, deleted.err
        assert aws.left() == []
    assert not engine.containers.list(all=True, filters={"label": "embedrun-test"})


TEI = """
name: chairs
model: {id: sentence-transformers/all-MiniLM-L6-v2, prompts: {query: "query: ", document: "passage: "}}
source: {type: pairs, path: training.json, columns: {anchor: sentence1, positive: sentence2}}
deployer: {type: sagemaker_tei, instance_type: ml.g4dn.xlarge, auto_scaling: {max_instances: 4}}
"""


def test_tei_is_told_all_of_the_model_scaled_and_removed(engine, tei, project, minilm, monkeypatch, tmp_path):
    project.write("chairs.yaml", TEI)
    for aws in account(Engine(engine, {"/tei:": tei}), monkeypatch, tmp_path):
        done = deployed(project, "chairs.yaml")
        assert done.code == 0, done.err
        (made,) = aws.simulator.models.values()
        told = made["PrimaryContainer"]["Environment"]
        assert {"HF_MODEL_ID": "/opt/ml/model", "POOLING": "mean", "AUTO_TRUNCATE": "true"}.items() <= told.items()
        assert "-gpu-" in made["PrimaryContainer"]["Image"]
        (policy,) = aws.client("application-autoscaling").describe_scaling_policies(ServiceNamespace="sagemaker")[
            "ScalingPolicies"
        ]
        tracking = policy["TargetTrackingScalingPolicyConfiguration"]
        assert (tracking["ScaleInCooldown"], tracking["ScaleOutCooldown"]) == (300, 60)
        assert project.run("verify", "chairs").code == 0
        assert project.run("delete", "chairs").code == 0
        assert aws.left() == []


def test_without_the_export_tei_does_not_start_and_its_own_words_are_shown(
    engine, tei, project, minilm, monkeypatch, tmp_path
):
    """What sentence-transformers itself saves is no model to TEI."""

    def as_saved(model: Model, folder: Path) -> None:
        model.load("cpu").save(str(folder), create_model_card=False)

    monkeypatch.setattr(export, "export", as_saved)
    monkeypatch.setattr(compatibility, "start_faults", lambda _: ())
    project.write("chairs.yaml", TEI)
    for aws in account(Engine(engine, {"/tei:": tei}), monkeypatch, tmp_path):
        done = deployed(project, "chairs.yaml")
        assert done.code == 1
        assert "did not pass the ping health check" in done.err
        assert "missing field `max_seq_length`" in done.err
        assert aws.left() == []
