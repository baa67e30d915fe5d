"""Rehearsals of deployments to SageMaker: all but what is made at AWS."""

from __future__ import annotations

import tarfile
from pathlib import Path

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, Resolver
from embedrun.errors import UserError
from embedrun.stages import Deployer
from embedrun_plugins import aws
from embedrun_plugins.deployers.sagemaker import SageMaker
from embedrun_plugins.deployers.sagemaker_tei import SageMakerTei, packed
from embedrun_plugins.endpoints import roles
from embedrun_plugins.endpoints.hosted import Hosted
from embedrun_plugins.rehearsal.changing import standing_in
from embedrun_plugins.rehearsal.telling import tell


class _SageMaker(SageMaker):
    """Packs the model, unpacks it again and asks the script in it; makes nothing at AWS."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        from embedrun_plugins.deployers.sagemaker import packed
        from embedrun_plugins.endpoints.trial import tried
        from embedrun_plugins.sagemaker.archives import unpack

        archive, folder = packed(ctx, model, self.parity), ctx.out / "unpacked"
        with tarfile.open(archive) as tar:
            unpack(tar, folder)
        ctx.note("worst_cosine", round(tried(folder, model, self.parity), 6))
        return Endpoint(deployer=self.type, path=str(archive))

    def resolve(self, resolver: Resolver) -> _SageMaker:  # noqa: ARG002  # nothing to ask
        return self

    def delete(self, endpoint: Endpoint) -> None:
        Path(endpoint.path or "").unlink(missing_ok=True)


class _SageMakerTei(SageMakerTei):
    """Packs what TEI would load and checks it; makes nothing at AWS."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        archive, told = packed(ctx, model, self)
        ctx.note("environment", told)
        return Endpoint(deployer=self.type, path=str(archive) if archive else None)

    def resolve(self, resolver: Resolver) -> _SageMakerTei:  # noqa: ARG002
        return self

    def delete(self, endpoint: Endpoint) -> None:
        if endpoint.path:
            Path(endpoint.path).unlink(missing_ok=True)


def rehearsed(stage: Hosted, folder: Path) -> Deployer:
    """Return what is run instead, told what a run from here would miss."""
    tell(folder, "nothing is made at AWS, and whether your rights there suffice is not asked")
    try:
        aws.client("sagemaker", region=stage.region, profile=stage.profile)
    except UserError as error:
        tell(folder, f"a run from here would stop: {error}", unsure=True)
    if roles.named(stage.role) is None:
        tell(folder, f"no role is named (role, ${roles.VARIABLE}): that of your session would be taken", unsure=True)
    if stage.price().usd is None:
        tell(folder, f"what {stage.instance_type} costs is not known here")
    if isinstance(stage, SageMakerTei):
        return standing_in(_SageMakerTei, stage)
    return standing_in(_SageMaker, stage)
