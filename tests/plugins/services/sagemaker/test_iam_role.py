"""The role for SageMaker: given, found, or a message that says what it takes."""

from __future__ import annotations

import json

import pytest

import loopback_aws
from embedrun.errors import UserError
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.sagemaker import iam_role
from loopback_aws import LoopbackAws
from model_containers import script
from sagemaker_simulator import ACCOUNT

ARN = f"arn:aws:iam::{ACCOUNT}:role/{loopback_aws.ROLE}"


@pytest.fixture
def aws(aws_account, monkeypatch) -> LoopbackAws:
    account: LoopbackAws = aws_account(script)
    monkeypatch.delenv(iam_role.VARIABLE)
    return account


def test_a_role_is_taken_by_name_arn_variable_and_from_sagemakers_own_machines(aws, monkeypatch, tmp_path):
    assert iam_role.find(Clients(), loopback_aws.ROLE, ACCOUNT) == ARN
    assert iam_role.find(Clients(), ARN, ACCOUNT) == ARN
    metadata = tmp_path / "resource-metadata.json"
    metadata.write_text(json.dumps({"ExecutionRoleArn": ARN}))
    monkeypatch.setattr(iam_role, "METADATA", metadata)
    assert iam_role.find(Clients(), None, ACCOUNT) == ARN
    monkeypatch.setenv(iam_role.VARIABLE, loopback_aws.ROLE)
    assert iam_role.find(Clients(), None, ACCOUNT) == ARN


def test_without_one_it_is_said_what_it_takes(aws):
    with pytest.raises(UserError, match=r"no execution role: name one by 'role' or by \$SAGEMAKER_ROLE.*iam:PassRole"):
        iam_role.find(Clients(), None, ACCOUNT)


def test_a_role_that_sagemaker_may_not_take_on_is_refused_before_anything_is_made(aws):
    trust = {"Version": "2012-10-17", "Statement": []}
    aws.client("iam").create_role(RoleName="mine", AssumeRolePolicyDocument=json.dumps(trust))
    with pytest.raises(UserError, match="SageMaker may not assume 'mine': its trust policy does not name sagemaker"):
        iam_role.find(Clients(), "mine", ACCOUNT)
    with pytest.raises(UserError, match="is of the AWS account 999999999999, and these credentials are of"):
        iam_role.find(Clients(), "arn:aws:iam::999999999999:role/mine", ACCOUNT)


def test_who_may_not_look_at_roles_gives_the_whole_arn(aws):
    aws.front.failing = lambda _, name: "denied" if name == "Query.GetRole" else None
    assert iam_role.find(Clients(), ARN, ACCOUNT) == ARN
    with pytest.raises(UserError, match="iam:GetRole is not allowed, which looks up 'embedrun-execution'; give"):
        iam_role.find(Clients(), loopback_aws.ROLE, ACCOUNT)
