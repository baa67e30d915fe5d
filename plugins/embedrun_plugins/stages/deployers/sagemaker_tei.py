"""Serve the model by SageMaker, in AWS's container of Text Embeddings Inference."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, Resolver
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Deployer
from embedrun_plugins.services.credentials import VariableName, secret
from embedrun_plugins.services.tei.environment import TeiLimits
from embedrun_plugins.stages.deployers.sagemaker_deployer import SageMakerDeployer, rehearsed
from embedrun_plugins.stages.deployers.sagemaker_options import capacity

if TYPE_CHECKING:
    from embedrun_plugins.services.sagemaker.endpoint import ModelContainer, Variant


_MOUNTED = "/opt/ml/model"


class SageMakerTei(SageMakerDeployer):
    """Deploys to SageMaker in AWS's TEI container, and proves that this answers with the model's own vectors.

    TEI is Text Embeddings Inference. Pooling, prompts, length and batches are told to it from the model; what it cannot
    serve is refused when the recipe is checked. Everything is written into a ledger before it is made:
    `embedrun resources` lists it with its price, and `embedrun delete` removes it, also after a crash.
    """

    type: Literal["sagemaker_tei"] = "sagemaker_tei"
    dtype: Literal["float32", "float16"] | None = None
    """Number format that it computes in; by default the model's own on a GPU, and float32 on a CPU."""
    limits: TeiLimits = TeiLimits()
    """What the server takes on."""
    repo_id: str | None = Field(None, pattern=r"^\w[\w.-]*/\w[\w.-]*$")
    """Repository of the Hugging Face hub that TEI fetches the model from, such as the one that the deployer `hub`
    pushes to; by default it comes from S3."""
    revision: str | None = None
    """Branch, tag or commit of the repository; name a commit, so that instances that come later serve the same."""
    token_env: VariableName | None = None
    """Environment variable that holds a token which may read the repository, where it is private. It is sent to
    SageMaker, where it can be read by everyone who may look at the model."""

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        for name in ("revision", "token_env"):
            if getattr(self, name) and not self.repo_id:
                yield f"{name}: has an effect only for a model from the hub (repo_id)"

    def refuses(self, model: Model) -> Iterable[str]:
        from embedrun_plugins.services.tei import compatibility

        yield from compatibility.faults(
            model.path, model.settings, self.tei_version(), gpu=self.on_gpu(), dtype=self.dtype
        )

    def tei_version(self) -> str | None:
        """Return the version of TEI that will run, as far as it is known."""
        from embedrun_plugins.services.sagemaker import image_uris

        return image_uris.tei_version(self.image, self.instance_type)

    def on_gpu(self) -> bool:
        from embedrun_plugins.services.sagemaker.image_uris import has_gpu

        return has_gpu(self.instance_type)

    def rehearsal(self, rehearsal: Rehearsal) -> Deployer:
        return rehearsed(self, rehearsal, _PackedForTei)

    def container(self, ctx: Context, model: Model, region: str) -> ModelContainer:
        from embedrun_plugins.services.sagemaker import image_uris
        from embedrun_plugins.services.sagemaker.endpoint import ModelContainer

        archive, settings = packed(ctx, model, self)
        source = {"HF_MODEL_ID": self.repo_id or _MOUNTED}
        source |= {"REVISION": self.revision} if self.revision else {}
        source |= {"HF_TOKEN": secret(self.token_env, "the hub")} if self.token_env else {}
        return ModelContainer(
            image=self.image or image_uris.tei(region, self.instance_type),
            environment={**settings, **source, **self.environment},
            archive=archive,
            isolated=self.repo_id is None,
        )

    def variant(self) -> Variant:
        from embedrun_plugins.services.sagemaker.endpoint import Variant

        return Variant(capacity(self))


def packed(ctx: Context, model: Model, stage: SageMakerTei) -> tuple[Path | None, dict[str, str]]:
    """Export the model as TEI reads it; return the archive, if TEI is to load it from there, and what TEI is told.

    Raises UserError where TEI could not serve it.
    """
    from embedrun_plugins.services.sagemaker import archive
    from embedrun_plugins.services.sagemaker.endpoint import ARCHIVE
    from embedrun_plugins.services.tei import environment
    from embedrun_plugins.services.tei.export import export

    folder, file = ctx.out / "model", ctx.out / ARCHIVE
    try:
        export(model, folder, stage.tei_version(), gpu=stage.on_gpu(), dtype=stage.dtype)
        settings = environment.of(folder, None, stage.limits, gpu=stage.on_gpu(), dtype=stage.dtype)
        if stage.repo_id:
            return None, settings
        archive.pack(folder, file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return file, settings


class _PackedForTei(SageMakerTei):
    """Packs what TEI would load and checks it; makes nothing at AWS."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        archive, settings = packed(ctx, model, self)
        ctx.note("environment", settings)
        return Endpoint(deployer=self.type, path=str(archive) if archive else None)

    def resolve(self, resolver: Resolver) -> _PackedForTei:  # noqa: ARG002
        return self

    def delete(self, endpoint: Endpoint) -> None:
        if endpoint.path:
            Path(endpoint.path).unlink(missing_ok=True)
