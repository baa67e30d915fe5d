"""A deployment with every kind of resource, but without torch: what is tested with it are the calls to AWS alone."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from botocore.loaders import JSONFileLoader
from botocore.retries.adaptive import ClientRateLimiter

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, RunRef
from embedrun_plugins.services import aws
from embedrun_plugins.services.endpoints import transports
from embedrun_plugins.services.endpoints.client import Client
from embedrun_plugins.services.endpoints.sagemaker_transport import SageMakerTransport
from embedrun_plugins.services.ledger import resources
from embedrun_plugins.services.sagemaker import upload
from embedrun_plugins.services.sagemaker.endpoint import ModelContainer, Variant
from embedrun_plugins.services.sagemaker.endpoint_options import AutoScaling
from embedrun_plugins.stages.deployers import sagemaker_deployment
from embedrun_plugins.stages.deployers.sagemaker_deployer import SageMakerDeployer
from embedrun_plugins.stages.deployers.sagemaker_options import capacity
from model_containers import InProcess

PART = 5 * 2**20
SIZE = PART + 1000
"""Bytes of the archive, which goes up in two parts."""


class Plain(SageMakerDeployer):
    """Deploys bytes that are no model."""

    type: Literal["plain"] = "plain"

    def container(self, ctx: Context, model: Model, region: str) -> ModelContainer:
        archive = ctx.out / "model.tar.gz"
        _pack(archive)
        return ModelContainer("plain", {"COLOR": "blue"}, archive, isolated=True)

    def variant(self) -> Variant:
        return Variant(capacity(self), {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2}})

    def transport(self, endpoint: Endpoint) -> Any:
        return asked(str(endpoint.details["endpoint_name"]), os.environ["AWS_ENDPOINT_URL"])

    def proven(self, ctx: Context, endpoint: Endpoint, model: Model) -> Endpoint:
        Client(self.transport(endpoint)).answer(["a"], "query")
        return endpoint


@functools.cache
def asked(endpoint: str, url: str) -> SageMakerTransport:
    """Return a transport that is made once, since making boto3's client takes long."""
    return SageMakerTransport(endpoint, endpoint_url=url)


def _pack(archive: Path) -> None:
    import io
    import tarfile

    with tarfile.open(archive, "w:gz", compresslevel=0) as tar:
        entry = tarfile.TarInfo("weights")
        entry.size = SIZE
        tar.addfile(entry, io.BytesIO(b"x" * SIZE))


def launch(image: str, environment: Mapping[str, str], folder: Path) -> InProcess:
    assert (folder / "weights").stat().st_size == SIZE
    return InProcess(lambda _: b"[[1.0]]")


_load_file = JSONFileLoader.load_file


@functools.cache
def _loaded(path: str) -> Any:
    """Return what botocore reads of a service: one session's loader would not know of another's."""
    return _load_file(JSONFileLoader(), path)


HURRIED: Mapping[tuple[Any, str], Any] = {
    (aws, "TRIES"): 1,
    (transports, "TRIES"): 1,
    (resources, "PAUSES"): (0.01, 0.03),
    (upload, "PART_BYTES"): PART,
    (sagemaker_deployment, "WARM_UPS"): 1,
    (sagemaker_deployment, "WAKING_SECONDS"): 0,
    (JSONFileLoader, "load_file"): lambda _, path: _loaded(path),
    (aws, "client"): functools.cache(aws.client),
    (ClientRateLimiter, "on_sending_request"): lambda *_, **__: None,
}
"""No second try, no longer pause than this machine needs, clients and what they read made once."""


def hurry() -> None:
    for (place, name), value in HURRIED.items():
        setattr(place, name, value)


def deployed(
    runs: Path,
    number: int,
    environment: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Endpoint:
    """Deploy as the run of a number does; `settings` are other fields of the deployer than by default."""
    os.environ.update(environment or {})
    hurry()
    out = runs / "plain" / f"run-{number}" / "deployments" / "plain" / "out"
    out.mkdir(parents=True)
    (out.parents[2] / "run.json").write_text("{}")
    ctx = Context(out=out, state=out, run=RunRef(out.parents[2]))
    stage = Plain.model_validate({"auto_scaling": AutoScaling(), "instance_type": "ml.m5.xlarge", **settings})
    endpoint = sagemaker_deployment.deploy(stage, ctx, Model(out))
    described = {"endpoint": endpoint.model_dump(mode="json"), "deployer": {"type": "plain"}}
    (out.parent / "endpoint.json").write_text(json.dumps(described))
    return endpoint
