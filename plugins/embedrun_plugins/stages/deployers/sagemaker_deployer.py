"""What every deployer to SageMaker has in common."""

from __future__ import annotations

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context
from embedrun.errors import UserError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Deployer
from embedrun_plugins.services import aws
from embedrun_plugins.services.sagemaker import iam_role
from embedrun_plugins.stages.deployers.sagemaker_options import EndpointOptions
from embedrun_plugins.stages.rehearsal.stand_ins import standing_in


class SageMakerDeployer(EndpointOptions):
    """Deploys to SageMaker."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        from embedrun_plugins.stages.deployers.sagemaker_deployment import deploy

        return deploy(self, ctx, model)

    def delete(self, endpoint: Endpoint) -> None:
        """Remove all that the run made.

        Raises UserError naming what could not be removed; the ledger keeps it.
        """
        from embedrun_plugins.stages.deployers.sagemaker_deployment import delete

        if faults := delete(endpoint):
            raise UserError("\n".join(faults))


def rehearsed(stage: SageMakerDeployer, rehearsal: Rehearsal, stand_in: type[SageMakerDeployer]) -> Deployer:
    """Return what is run instead, an instance of `stand_in`, told what a run from here would miss."""
    rehearsal.note("nothing is created at AWS, and whether your permissions suffice is not checked")
    try:
        aws.client("sagemaker", region=stage.region, profile=stage.profile)
    except UserError as error:
        rehearsal.note(f"a run from here would stop: {error}", unsure=True)
    if iam_role.named(stage.role) is None:
        rehearsal.note(
            f"no role is named (role, ${iam_role.VARIABLE}): that of your session would be used", unsure=True
        )
    return standing_in(stand_in, stage)
