"""The role that SageMaker takes on to read the model and write logs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from embedrun.errors import EmbedrunError, UserError
from embedrun_plugins.services.ledger.aws_clients import Clients, is_about

VARIABLE = "SAGEMAKER_ROLE"
METADATA = Path("/opt/ml/metadata/resource-metadata.json")
"""Where SageMaker's own machines, such as Studio's, are told of their role."""
_ROLE = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):role/(?:.*/)?([\w+=,.@-]+)")
_ASSUMED = re.compile(r"arn:aws[\w-]*:sts::\d{12}:assumed-role/([\w+=,.@-]+)/")
_SERVICE = "sagemaker.amazonaws.com"
_MISSING = ("NoSuchEntity", "NoSuchEntityException")
_DENIED = ("AccessDenied", "AccessDeniedException")
NEEDED = (
    "it must be assumable by sagemaker.amazonaws.com, and allow s3:GetObject on the bucket (s3:PutObject too for an "
    "asynchronous endpoint, and with it s3:ListBucket for a training job), ecr:GetAuthorizationToken, "
    "ecr:BatchGetImage and ecr:GetDownloadUrlForLayer, logs:CreateLogGroup, logs:CreateLogStream and "
    "logs:PutLogEvents, and cloudwatch:PutMetricData (the managed policy AmazonSageMakerFullAccess has all of them); "
    "you yourself need iam:PassRole for it"
)


def named(role: str | None) -> str | None:
    """Return the role that is given: by the recipe, by $SAGEMAKER_ROLE, or by the machine where it is SageMaker's."""
    return role or os.environ.get(VARIABLE) or _of_machine()


def find(clients: Clients, role: str | None, account: str) -> str:
    """Return the ARN of the role to give SageMaker, checked as far as the caller may look.

    Without one given it is the caller's own, if that is a role. Raises UserError where there is none, or SageMaker
    could not take it on.
    """
    role_name = named(role) or _of_caller(clients)
    if role_name is None:
        raise UserError(
            f"no execution role: name one by 'role' or by ${VARIABLE}, its ARN or its name; {NEEDED}. "
            "These credentials are a user's, so there is no role to use"
        )
    arn_parts = _ROLE.fullmatch(role_name)
    if arn_parts and arn_parts[1] != account:
        raise UserError(
            f"role: {role_name} is of the AWS account {arn_parts[1]}, and these credentials are of {account}"
        )
    arn = _checked(clients, arn_parts[2] if arn_parts else role_name)
    if arn is None and arn_parts is None:
        raise UserError(
            f"role: iam:GetRole is not allowed, which looks up '{role_name}'; give the role's full ARN; {NEEDED}"
        )
    return arn or role_name


def _checked(clients: Clients, name: str) -> str | None:
    """Return the ARN of a role that SageMaker may take on; None where the caller may not look at it."""
    try:
        answer = clients.find("iam", "get_role", _MISSING, RoleName=name)
    except EmbedrunError as error:
        if is_about(error, _DENIED):
            return None
        raise
    if answer is None:
        raise UserError(f"role: there is no role '{name}' in this account; {NEEDED}")
    if _SERVICE not in _trusted(answer["Role"].get("AssumeRolePolicyDocument")):
        raise UserError(f"role: SageMaker may not assume '{name}': its trust policy does not name {_SERVICE}; {NEEDED}")
    return str(answer["Role"]["Arn"])


def _trusted(policy: Any) -> str:
    return unquote(policy) if isinstance(policy, str) else json.dumps(policy or {})


def _of_machine() -> str | None:
    try:
        metadata = json.loads(METADATA.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return metadata.get("ExecutionRoleArn") if isinstance(metadata, dict) else None


def _of_caller(clients: Clients) -> str | None:
    """Return the name of the caller's own role, where the caller is one."""
    assumed = _ASSUMED.match(str(clients.call("sts", "get_caller_identity")["Arn"]))
    return assumed[1] if assumed else None
