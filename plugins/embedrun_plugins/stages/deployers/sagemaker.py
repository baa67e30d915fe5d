"""Serve the model by SageMaker, in AWS's Hugging Face container."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, Resolver
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Deployer
from embedrun_plugins.services.sagemaker.endpoint_options import Asynchronous, Serverless
from embedrun_plugins.stages.deployers.sagemaker_deployer import SageMakerDeployer, rehearsed
from embedrun_plugins.stages.deployers.sagemaker_options import capacity

if TYPE_CHECKING:
    from embedrun_plugins.services.ledger.prices import ListPrice, Price
    from embedrun_plugins.services.sagemaker.endpoint import ModelContainer, Variant


class SageMakerHuggingFace(SageMakerDeployer):
    """Deploys to SageMaker in AWS's Hugging Face container, and proves that this answers with the model's own vectors.

    The model travels with a script that needs torch and transformers alone, so that old containers serve it too.
    Everything is written into a ledger before it is made: `embedrun resources` lists it with its price, and
    `embedrun delete` removes it, also after a crash.
    """

    type: Literal["sagemaker"] = "sagemaker"
    serverless: Serverless | None = None
    """Run it serverless instead of on instances: nothing is paid while nobody asks."""
    asynchronous: Asynchronous | None = None
    """Queue requests in S3 instead of answering at once."""

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        if self.serverless:
            unfit = [name for name in ("asynchronous", "auto_scaling") if getattr(self, name)]
            unfit += ["instances"] if self.instances > 1 else []
            for name in unfit:
                yield f"{name}: a serverless endpoint has none; it scales by itself, up to max_concurrency"

    def refuses(self, model: Model) -> Iterable[str]:
        from embedrun_plugins.services.sagemaker.compatibility import faults

        yield from faults(model.path, model.settings, self.image)

    def list_price(self, region: str) -> ListPrice | None:
        from embedrun_plugins.services.ledger.prices import ASYNCHRONOUS, look_up

        if self.serverless:
            return None
        if self.asynchronous:
            return look_up(self.instance_type, region, ASYNCHRONOUS, self.profile)
        return super().list_price(region)

    def price(self, listed: ListPrice | None) -> Price:
        from embedrun_plugins.services.ledger.prices import Price

        return Price(0.0, asked=True) if self.serverless else super().price(listed)

    def rehearsal(self, rehearsal: Rehearsal) -> Deployer:
        return rehearsed(self, rehearsal, _Packed)

    def container(self, ctx: Context, model: Model, region: str) -> ModelContainer:
        from embedrun_plugins.services.sagemaker import image_uris
        from embedrun_plugins.services.sagemaker.endpoint import ModelContainer

        archive = packed(ctx, model, self.parity)
        gpu = not self.serverless and image_uris.has_gpu(self.instance_type)
        # A CPU's workers, one for each core, would otherwise share every core among all of their threads.
        threads = {} if gpu else {"OMP_NUM_THREADS": "1"}
        return ModelContainer(
            image=self.image or image_uris.hugging_face(region, self.instance_type if gpu else "ml.m5.xlarge"),
            environment={**threads, "SAGEMAKER_PROGRAM": "inference.py", **self.environment},
            archive=archive,
            isolated=not self.serverless,  # which knows no isolation
        )

    def variant(self) -> Variant:
        from embedrun_plugins.services.sagemaker.endpoint import Variant

        queue = (
            {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": self.asynchronous.max_concurrent}}
            if (self.asynchronous)
            else None
        )
        if self.serverless is None:
            return Variant(capacity(self), queue)
        size = {"MemorySizeInMB": self.serverless.memory_mb, "MaxConcurrency": self.serverless.max_concurrency}
        return Variant({"ServerlessConfig": size}, queue)


def packed(ctx: Context, model: Model, least: float | None) -> Path:
    """Export the model with what answers, prove that this gives its vectors here, and pack it.

    Raises UserError where the container could not serve it, StageError where the vectors differ.
    """
    from embedrun_plugins.models.export import export
    from embedrun_plugins.services.sagemaker import archive
    from embedrun_plugins.services.sagemaker.endpoint import ARCHIVE
    from embedrun_plugins.services.sagemaker.local_check import tried

    folder, file = ctx.out / "model", ctx.out / ARCHIVE
    try:
        export(model, folder)
        archive.add_code(folder)
        tried(folder, model, least)
        archive.pack(folder, file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return file


class _Packed(SageMakerHuggingFace):
    """Packs the model, unpacks it again and asks the script in it; makes nothing at AWS."""

    def run(self, ctx: Context, model: Model) -> Endpoint:

        from embedrun_plugins.services.sagemaker.container.archives import unpack_file
        from embedrun_plugins.services.sagemaker.local_check import tried

        archive, folder = packed(ctx, model, self.parity), ctx.out / "unpacked"
        unpack_file(archive, folder)
        ctx.note("worst_cosine", round(tried(folder, model, self.parity), 6))
        return Endpoint(deployer=self.type, path=str(archive))

    def resolve(self, resolver: Resolver) -> _Packed:  # noqa: ARG002  # nothing to ask
        return self

    def delete(self, endpoint: Endpoint) -> None:
        Path(endpoint.path or "").unlink(missing_ok=True)
