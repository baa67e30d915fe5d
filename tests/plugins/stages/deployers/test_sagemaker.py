"""The deployer `sagemaker`, against a loopback AWS that runs the archive's own script."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import loopback_aws
import model_containers
from embedrun_plugins.services.endpoints import transports
from embedrun_plugins.stages.deployers import sagemaker_deployment
from loopback_aws import LoopbackAws
from model_containers import InProcess
from sagemaker_simulator import NoContainerError, Running

RECIPE = """
name: shop
model: tiny
source: {type: pairs, path: pairs.jsonl}
deployer: {type: sagemaker}
"""


@pytest.fixture
def aws(aws_account) -> LoopbackAws:
    """An account whose containers are the archive's own script."""
    return aws_account(model_containers.script)


@pytest.fixture
def shop(deployable, aws):
    """A recipe that deploys a tiny model."""
    return deployable("shop.yaml", RECIPE)


def deploy(project, *settings: str) -> Any:
    words = [word for setting in settings for word in ("--set", setting)]
    return project.run("run", "shop.yaml", *words, "--json")


def record_of(project) -> dict[str, Any]:
    (file,) = project.folder.glob("runs/shop/*/deployments/*/endpoint.json")
    return json.loads(file.read_text())


@pytest.mark.slow
def test_a_model_is_deployed_proven_listed_and_removed_without_a_trace(shop, aws):
    priced = "usd an hour 0.23 (AWS's price list of 2026-11-20 for us-east-1)"
    assert priced in " ".join(shop.run("plan", "shop.yaml").out.split())
    assert "usd an hour" not in shop.run("plan", "shop.yaml", "--offline").out
    done = deploy(shop)
    assert done.code == 0, done.err
    endpoint = record_of(shop)["endpoint"]
    assert endpoint["details"]["endpoint_name"] == "embedrun-shop"
    assert endpoint["url"].endswith("/endpoints/embedrun-shop/invocations")
    assert "embedrun-shop" in aws.left()
    listed = shop.run("resources", "--json").json
    assert [(row["deployer"], row["status"], row["usd_per_hour"]) for row in listed] == [
        ("sagemaker", "InService", 0.23)
    ]
    assert "endpoint embedrun-shop" in shop.run("resources").out
    assert shop.run("verify", "shop").code == 0
    deleted = shop.run("delete", "shop")
    assert deleted.code == 0, deleted.err
    assert aws.left() == []
    assert shop.run("resources").out.startswith("nothing is in the cloud")
    assert shop.run("delete", "shop").out.endswith("nothing deployed\n")


@pytest.mark.slow
def test_no_key_or_token_gets_into_what_a_run_leaves(shop, aws):
    done = deploy(shop, "deployer.role=nobody")
    assert done.code == 2
    assert "there is no role 'nobody' in this account; it must be assumable by sagemaker.amazonaws.com" in done.err
    done = deploy(shop)
    aws.simulator.launch = failing
    failed = deploy(shop)
    assert failed.code == 1
    kept = [file.read_bytes() for file in shop.folder.rglob("*") if file.is_file()]
    kept += [text.encode() for one in (done, failed) for text in (one.out, one.err)]
    kept += [call.body for call in aws.front.calls]
    headers = [value.encode() for call in aws.front.calls for value in call.headers.values()]
    for name, value in loopback_aws.SECRETS.items():
        assert not [text for text in kept if value.encode() in text], name
        sent_in_header = [value for text in headers if value.encode() in text]
        # AWS's own signature names the key's id and the session; nothing sends what is secret of either.
        assert bool(sent_in_header) is (name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN")), name
    shop.run("delete", "shop")
    assert aws.left() == []


def failing(image: str, environment: Mapping[str, str], folder: Path) -> Running:
    raise NoContainerError("exit code 1", "Traceback (most recent call last):\nOSError: no weights here")


def test_a_container_that_does_not_come_up_is_explained_and_removed(shop, aws):
    aws.simulator.launch = failing
    done = deploy(shop)
    assert done.code == 1
    assert "did not pass the ping health check. exit code 1" in done.err
    assert "its container's last lines:" in done.err
    assert "OSError: no weights here" in done.err
    assert aws.left() == []
    assert shop.run("resources", "--json").json == []


def test_a_second_run_changes_the_endpoint_in_place_and_removes_what_it_served_before(shop, aws):
    assert deploy(shop).code == 0
    first = aws.simulator.endpoints["embedrun-shop"].described["EndpointConfigName"]
    calls = len(aws.front.calls)
    done = deploy(shop, "deployer.auto_scaling.max_instances=3")
    assert done.code == 0, done.err
    names = [call.name for call in aws.front.calls[calls:]]
    assert "SageMaker.UpdateEndpoint" in names
    assert "SageMaker.CreateEndpoint" not in names
    assert names.index("Runtime.invocations") < names.index("SageMaker.DeleteEndpointConfig")
    assert first not in aws.left()
    assert "endpoint/embedrun-shop/variant/AllTraffic" in aws.left()
    older, newer = sorted((shop.folder / "runs/shop").iterdir(), key=lambda run: run.stat().st_mtime)
    deleted = shop.run("delete", older)
    assert deleted.code == 0, deleted.err
    assert "embedrun-shop" in aws.left()  # it is the newer run's by now
    assert shop.run("delete", newer).code == 0
    assert aws.left() == []


def test_a_model_that_answers_wrongly_is_taken_back_and_what_answered_before_goes_on(shop, aws):
    assert deploy(shop).code == 0
    before = aws.simulator.endpoints["embedrun-shop"].described["EndpointConfigName"]
    aws.simulator.launch = lambda *_: InProcess(lambda _: b"[[1.0, 0.0]]")
    done = deploy(shop)
    assert done.code == 1
    assert "what answers is not the model: it answers only the first of a request's texts" in done.err
    aws.simulator.settle()
    assert aws.simulator.endpoints["embedrun-shop"].described["EndpointConfigName"] == before
    assert len(aws.simulator.models) == 1
    aws.simulator.launch = model_containers.script
    assert shop.run("delete", "shop").code == 0
    assert aws.left() == []


def test_an_endpoint_of_somebody_else_is_left_alone(shop, aws):
    assert deploy(shop).code == 0
    (shop.folder / "ledger").rename(shop.folder / "of another machine")
    done = deploy(shop)
    assert done.code == 2
    assert "endpoint embedrun-shop exists, and was not made by a run of this recipe on this machine" in done.err
    named = deploy(shop, "deployer.endpoint_name=embedrun-shop")  # by name, since it is tagged with the recipe
    assert named.code == 0, named.err


def test_two_deployers_of_a_recipe_do_not_take_each_others_endpoint(shop, aws):
    text = RECIPE.replace(
        "deployer: {type: sagemaker}", "deployer: [{type: sagemaker}, {type: sagemaker, instances: 2}]"
    )
    shop.write("shop.yaml", text)
    done = deploy(shop)
    assert done.code == 0, done.err
    assert set(aws.simulator.endpoints) == {"embedrun-shop", "embedrun-shop-sagemaker-2"}
    shop.run("delete", "shop")
    assert aws.left() == []
    shop.write("shop.yaml", text.replace("{type: sagemaker", "{type: sagemaker, endpoint_name: one"))
    done = deploy(shop)
    assert done.code == 2
    assert "endpoint one was made by this run; give each deployer its own 'endpoint_name'" in done.err
    assert shop.run("delete", "shop").code == 0
    assert aws.left() == []


def test_serverless_and_asynchronous_endpoints_answer_too(shop, aws):
    done = deploy(shop, "deployer.serverless.memory_mb=2048")
    assert done.code == 0, done.err
    (config,) = aws.simulator.configs.values()
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert "InstanceType" not in config["ProductionVariants"][0]
    assert shop.run("delete", "shop").code == 0
    done = deploy(shop, "deployer.asynchronous.max_concurrent=2")
    assert done.code == 0, done.err
    assert "Runtime.async-invocations" in {call.name for call in aws.front.calls}
    assert shop.run("delete", "shop").code == 0
    assert aws.left() == []


def slow(image: str, environment: Mapping[str, str], folder: Path) -> Running:
    started = model_containers.script(image, environment, folder)

    def answer(body: bytes) -> bytes:
        time.sleep(0.2)
        return started.invoke(body, "application/json")[1]

    return InProcess(answer)


def test_a_serverless_endpoint_is_asked_no_more_at_once_than_it_takes(shop, aws, monkeypatch):
    monkeypatch.setattr(transports, "TRIES", 1)
    aws.simulator.launch = slow
    done = deploy(shop, "deployer.serverless.max_concurrency=2")
    assert done.code == 0, done.err
    assert shop.run("delete", "shop").code == 0


def test_an_endpoint_that_is_throttled_while_it_wakes_is_waited_for(shop, aws, monkeypatch):
    monkeypatch.setattr(transports, "TRIES", 1)
    throttled = iter(range(12))
    aws.front.failing = lambda _, name: (
        "throttled" if name == "Runtime.invocations" and next(throttled, None) is not None else None
    )
    done = deploy(shop, "deployer.serverless.max_concurrency=2")
    assert done.code == 0, done.err
    monkeypatch.setattr(sagemaker_deployment, "WAKING_SECONDS", 0)
    aws.front.failing = lambda _, name: "throttled" if name == "Runtime.invocations" else None
    done = deploy(shop, "deployer.serverless.max_concurrency=2")
    assert done.code == 1
    assert "is overloaded, even after 1 tries with growing pauses (Rate exceeded)" in done.err
    assert shop.run("delete", "shop").code == 0
    assert aws.left() == []


def test_what_is_past_its_age_limit_is_removed_on_demand_and_other_accounts_are_left_alone(shop, aws, monkeypatch):
    assert deploy(shop, "deployer.max_age_hours=1e-5").code == 0
    (row,) = shop.run("resources", "--json", "--offline").json
    assert row["status"] is None
    ledger = shop.folder / "ledger" / f"{row['id']}.json"
    ledger.write_text(ledger.read_text().replace("123456789012", "999999999999", 1))
    refused = shop.run("delete", "--all")
    assert refused.code == 2
    assert "these credentials are of the AWS account 123456789012, and this was made in 999999999999" in refused.err
    ledger.write_text(ledger.read_text().replace("999999999999", "123456789012", 1))
    time.sleep(0.1)
    assert "past its age limit" in shop.run("resources").out
    assert shop.run("delete", "--expired").code == 0
    assert aws.left() == []
    assert not list(shop.folder.glob("runs/*/*/deployments/*/endpoint.json"))
    assert shop.run("delete", "--expired").out == "the ledger: nothing expired\n"


def test_missing_credentials_and_roles_are_told_before_anything_is_trained(shop, aws, monkeypatch):
    monkeypatch.delenv("SAGEMAKER_ROLE")
    done = deploy(shop)
    assert done.code == 2
    assert "no execution role: name one by 'role' or by $SAGEMAKER_ROLE" in done.err
    for name in loopback_aws.SECRETS:
        monkeypatch.delenv(name)
    done = deploy(shop)
    assert done.code == 2
    assert "there are no AWS credentials" in done.err
    rehearsed = shop.run("run", "shop.yaml", "--rehearse")
    assert rehearsed.code == 0, rehearsed.out + rehearsed.err
    assert "a run from here would stop: sagemaker: there are no AWS credentials" in rehearsed.out
    assert not list(shop.folder.glob("runs/*"))
    assert not [call for call in aws.front.calls if not call.name.startswith("Query.")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["deployer.serverless.memory_mb=2048", "deployer.auto_scaling.max_instances=2"], "a serverless endpoint has"),
        (["deployer.auto_scaling.min_instances=5"], "min_instances 5 is more than max_instances 4"),
        (["deployer.instances=9", "deployer.auto_scaling.max_instances=4"], "instances: 9 is not between"),
        (["deployer.instance_type=ml.t2.medium", "deployer.auto_scaling.max_instances=2"], "since it is burstable"),
        (["deployer.environment.TOKEN=hf_abcdefghijklmnopqrst"], "'TOKEN' holds a token or key"),
        (["model.max_length=4096"], "the model has positions for"),
    ],
)
def test_what_cannot_work_is_refused_when_the_recipe_is_checked(shop, settings, said):
    words = [word for setting in settings for word in ("--set", setting)]
    done = shop.run("check", "shop.yaml", *words)
    assert done.code == 2
    assert said in done.err
    assert "abcdefghij" not in done.err + done.out
