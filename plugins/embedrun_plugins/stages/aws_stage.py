"""What everything that AWS runs for a recipe has in common: an account, a region, a role and a bucket."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Self

from pydantic import Field

from embedrun.context import Resolver
from embedrun.stage import Stage

if TYPE_CHECKING:
    from embedrun_plugins.services.ledger.aws_clients import Clients

INSTANCE = r"^ml\.[a-z0-9-]+\.[a-z0-9]+$"
"""What SageMaker calls a kind of machine."""


class Account(Stage):
    """A stage that SageMaker carries out."""

    region: str | None = None
    """AWS region; by default AWS_DEFAULT_REGION's, AWS_REGION's or the profile's."""
    profile: str | None = None
    """Profile of the AWS configuration whose credentials are used; by default that of the environment."""
    role: str | None = None
    """Role that SageMaker takes on, its ARN or name; by default $SAGEMAKER_ROLE, else that of the machine or of your
    own session, where that is one."""
    bucket: str | None = None
    """Bucket to use; by default sagemaker-REGION-ACCOUNT, which is made if it is not there."""
    prefix: str = Field("embedrun", pattern=r"^[\w.-]+(/[\w.-]+)*$")
    """Folder in the bucket."""

    def resolve(self, resolver: Resolver) -> Self:
        """Miss credentials, region and role now, not when everything is trained."""
        from embedrun_plugins.services.sagemaker import iam_role

        if importlib.util.find_spec("boto3") is None:  # which is said elsewhere
            return self
        clients = self.clients()
        clients("sagemaker")
        if not resolver.offline:
            iam_role.find(clients, self.role, clients.account())
        return self

    def clients(self) -> Clients:
        from embedrun_plugins.services.ledger.aws_clients import Clients

        return Clients(self.region, self.profile)
