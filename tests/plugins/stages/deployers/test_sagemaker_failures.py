"""Whatever fails, and whenever the client is killed: the ledger knows of all that was made, and removes it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import pytest

import plain_deployment
from embedrun.errors import EmbedrunError
from embedrun_plugins.services.ledger import delete
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger
from loopback_aws import Fault, LoopbackAws

FAULTS = get_args(Fault)
CALLS = 15
"""A deployment takes more."""


def NOTHING(_number: int, _name: str) -> None:  # noqa: N802  # a constant that can be called
    """Disturb no call."""


WORDS: dict[Fault, str] = {
    "throttled": "throttled|overloaded|503",
    "denied": "lacks the right|not allowed|may not be used|does not accept|403",
    "limit": "limit|503|ServiceUnavailable",
    "expired": "has expired|may not be used|does not accept|403",
    "gone": "connection|closed|does not answer|broke",
}
"""What a user is told, in one form or another; of a HEAD, S3 answers the status alone."""


@pytest.fixture
def aws(plain_aws) -> LoopbackAws:
    return plain_aws


def disturbed(aws: LoopbackAws, number: int) -> str | None:
    """Return the call that was disturbed; None where the deployment was over before."""
    return aws.front.calls[number].name if number < len(aws.front.calls) else None


def delete_all() -> None:
    assert delete.of_ledger(lambda _: None, only_expired=False).faults == []
    assert list(Ledger().entries()) == []


def attempt(runs: Path, number: int, settings: Mapping[str, Any] = MappingProxyType({})) -> str | None:
    """Deploy; return what the user is told where it fails."""
    try:
        plain_deployment.deployed(runs, number, settings=settings)
    except EmbedrunError as error:
        return str(error)
    return None


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_call_fails_once_everything_is_taken_back(aws, tmp_path, fault):
    for place in count():
        first = len(aws.front.calls)
        aws.front.failing = lambda number, _, at=first + place: fault if number == at else None
        said = attempt(tmp_path, place)
        aws.front.failing = NOTHING
        name = disturbed(aws, first + place)
        if said is None:  # what fails without harm
            delete_all()
        assert said is None or re.search(WORDS[fault], said), name
        assert list(Ledger().entries()) == [], name
        assert aws.left() == [], name
        if name is None:
            break
    assert place > CALLS


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_call_fails_for_good_is_told_and_what_is_left_is_found_later(aws, tmp_path, fault):
    for place in count():
        first = len(aws.front.calls)
        aws.front.failing = lambda number, _, at=first + place: fault if number >= at else None
        said = attempt(tmp_path, place)
        aws.front.failing = NOTHING
        name = disturbed(aws, first + place)
        assert said is None or re.search(WORDS[fault], said), name
        delete_all()
        assert aws.left() == [], name
        if name is None:
            break
    assert place > CALLS


def what_answers(aws: LoopbackAws) -> list[Any]:
    """Return what an endpoint serves, and how it is scaled."""
    aws.simulator.settle()
    (endpoint,) = aws.simulator.endpoints.values()
    scaling = aws.client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    return [
        endpoint.described["EndpointConfigName"],
        *(sorted(aws.simulator.configs) + sorted(aws.simulator.models)),
        *((target["MinCapacity"], target["MaxCapacity"]) for target in targets),
        *(policy["TargetTrackingScalingPolicyConfiguration"] for policy in policies),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({}, {}, id="the same"),
        pytest.param({}, {"auto_scaling": {"max_instances": 2, "invocations_per_instance": 7}}, id="scaled otherwise"),
        pytest.param({}, {"instance_type": "ml.c5.xlarge"}, id="on other machines"),
        pytest.param({"auto_scaling": None}, {}, id="scaled at last"),
        pytest.param({}, {"auto_scaling": None}, id="scaled no more"),
    ],
)
def test_a_change_in_place_that_fails_leaves_what_answered_before(aws, tmp_path, before, after):
    there = None
    for place in count():
        if there is None:
            plain_deployment.deployed(tmp_path, 2 * place, settings=before)
            there = what_answers(aws)
        first = len(aws.front.calls)
        aws.front.failing = lambda number, _, at=first + place: "denied" if number == at else None
        said = attempt(tmp_path, 2 * place + 1, after)
        aws.front.failing = NOTHING
        name = disturbed(aws, first + place)
        if said:
            assert what_answers(aws) == there, name
        else:
            there = None
        if name is None:
            break
    delete_all()
    assert aws.left() == []
    assert place > CALLS


def test_instances_that_scaling_added_are_kept_where_a_change_says_nothing_of_them(aws, tmp_path):
    changes = [{}, {}, {"instances": 2}, {"instance_type": "ml.c5.xlarge"}, {"auto_scaling": None}]
    for number, settings in enumerate(changes):
        plain_deployment.deployed(tmp_path, number, settings=settings)
    updates = [json.loads(call.body) for call in aws.front.calls if call.name == "SageMaker.UpdateEndpoint"]
    assert [update.get("RetainAllVariantProperties", False) for update in updates[-4:]] == [True, False, False, False]
    delete_all()


def test_killed_after_any_call_everything_is_found_and_removed(aws, tmp_path, forkserver):
    for place in count():
        first = len(aws.front.calls)
        client = forkserver.Process(target=plain_deployment.deployed, args=(tmp_path, place, aws.environment(tmp_path)))

        def kill(number: int, _: str, at: int = first + place, client=client) -> None:
            if number == at:
                os.kill(client.pid, signal.SIGKILL)

        aws.front.passed = kill
        client.start()
        client.join(60)
        aws.front.passed = NOTHING
        name = disturbed(aws, first + place)
        assert client.exitcode == (-signal.SIGKILL if name else 0)
        delete_all()
        assert aws.left() == [], name
        if name is None:
            break
    assert place > CALLS


class Killed(BaseException):
    """Nothing of the program's own goes on after it."""


def test_killed_in_the_middle_of_a_change_in_place_nothing_is_left(aws, tmp_path, monkeypatch):
    call = Clients.call
    for place in count():
        plain_deployment.deployed(tmp_path, 2 * place)
        left = place

        def dying(self: Clients, service: str, operation: str, **arguments: object) -> object:
            nonlocal left
            found = call(self, service, operation, **arguments)
            left -= 1
            if left < 0:
                raise Killed
            return found

        killed = False
        with monkeypatch.context() as patch:
            patch.setattr(Clients, "call", dying)
            try:
                plain_deployment.deployed(tmp_path, 2 * place + 1)
            except Killed:
                killed = True
        delete_all()
        assert aws.left() == [], place
        if not killed:
            break
    assert place > CALLS
