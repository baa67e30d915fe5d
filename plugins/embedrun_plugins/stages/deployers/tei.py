"""Serve the model by Text Embeddings Inference on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, Resolver, Unkeyed
from embedrun.errors import UserError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Deployer
from embedrun_plugins.services.credentials import VariableName, secret
from embedrun_plugins.services.docker.sizes import Size
from embedrun_plugins.services.endpoints.transports import Transport
from embedrun_plugins.services.tei import compatibility, environment, versions
from embedrun_plugins.services.tei.environment import TeiLimits
from embedrun_plugins.services.tei.options import Network, remove_export
from embedrun_plugins.stages.deployers.endpoint_deployer import AnsweringDeployer
from embedrun_plugins.stages.rehearsal.stand_ins import changed, standing_in

if TYPE_CHECKING:
    from embedrun_plugins.services.docker import Description

_MODEL = "/model"


def _address(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        raise ValueError(f"must be an IP address, such as 127.0.0.1 or 0.0.0.0, not {host!r}") from None


class TeiDeployer(AnsweringDeployer):
    """Starts TEI's own container on this machine's engine, and checks that it answers with the model's own vectors.

    The image is the one for this machine's GPU, or for its CPU. The container lives until `embedrun delete`, also
    through restarts of the machine; a later run of the recipe replaces it once its own answers. It runs as you, with no
    capabilities and a root that cannot be written, and sees nothing but the exported model in the run's folder.
    """

    type: Literal["tei"] = "tei"
    seeded = False
    packages: ClassVar[Mapping[str, str]] = {"docker": "docker"}
    image: str | None = Field(None, min_length=1)
    """Image to run, pulled where it is missing; `name@sha256:…` pins it. By default TEI 1.9's for this machine's GPU,
    or for its CPU."""
    gpu: Annotated[int, Field(ge=0)] | str | None = None
    """GPU that it runs on: its number or id, or none. By default the first, where this machine has any."""
    dtype: Literal["float32", "float16"] | None = None
    """Number format that it computes in; by default the model's own on a GPU, and float32 on a CPU."""
    host: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    """IP address to listen on. Any but this machine's own can be reached from outside; then set `api_key_env` too."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen on; 0 takes one that is free."""
    network: Network | None = None
    """Network of the container: a bridge, or the machine's own (host). By default a bridge, if the engine has one."""
    api_key_env: VariableName | None = None
    """Environment variable that holds the key which clients must send; by default none is asked for."""
    limits: TeiLimits = TeiLimits()
    """What the server takes on."""
    restart: Literal["no", "on-failure", "always", "unless-stopped"] = "unless-stopped"
    """When the engine starts it again by itself."""
    memory: Size | None = None
    """Most memory, as in 8g; by default the machine's."""
    cpus: float | None = Field(None, gt=0)
    """Most CPUs, as in 2 or 0.5; by default the machine's."""
    timeout: Annotated[float, Unkeyed, Field(gt=0)] = 600.0
    """Seconds that it may take to start."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        from embedrun_plugins.services.docker.engine import client
        from embedrun_plugins.services.tei import container, options
        from embedrun_plugins.services.tei.records import labels, retire, written_down

        key = secret(self.api_key_env, "the server") if self.api_key_env else None
        self._warn(ctx)
        engine = client()
        image = self._pulled(engine, ctx)
        folder = self.export(ctx.out / "model", model)
        port = self.port or options.free_port(self.host)
        url = f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}"
        with (
            options.removed_on_failure(folder),
            container.making_room(engine, labels(ctx, owner=True), port) as earlier,
            container.started(engine, self._options(engine, ctx, image, folder, port), url, key) as server,
        ):
            details = {"container": server.container.id, "image": image.digest or image.id, "model": str(folder)}
            endpoint = Endpoint(deployer=self.type, url=url, details=details)
            with written_down(ctx, self, endpoint):
                server.wait(self.timeout, lambda: ctx.progress("starting TEI", 0, None))
                endpoint = self.proven(ctx, endpoint, model)
                server.container.update(restart_policy={"Name": self.restart})
        if replaced := [retire(engine, old, ctx.warn) for old in earlier]:
            ctx.note("replaced", f"the server of {', '.join(replaced)}")
        ctx.note("image", image.digest or image.reference)
        return endpoint

    def faults(self) -> Iterable[str]:
        if self.api_key_env and not os.environ.get(self.api_key_env):
            yield f"api_key_env: the environment variable {self.api_key_env} is not set, or empty"

    def resolve(self, resolver: Resolver) -> TeiDeployer:
        """Miss the engine, the image, the GPU and the port now, not when everything is trained."""
        from embedrun_plugins.services.docker.engine import client
        from embedrun_plugins.services.tei import preflight as engine

        connected = client()
        engine.require_here(connected)
        if self.on_gpu():
            engine.require_gpus(connected.info())
        engine.require_image(connected, self.image_for(connected), offline=resolver.offline)
        engine.require_port(connected, self.host, self.port)
        return self

    def refuses(self, model: Model) -> Iterable[str]:
        yield from compatibility.faults(
            model.path, model.settings, self.version_of(), gpu=self.on_gpu(), dtype=self.dtype
        )

    def rehearsal(self, rehearsal: Rehearsal) -> Deployer:
        return rehearsed(self, rehearsal)

    def transport(self, endpoint: Endpoint) -> Transport:
        from embedrun_plugins.services.addresses import reachable
        from embedrun_plugins.services.endpoints.http_transport import HttpTransport, Key

        return HttpTransport(reachable(endpoint.url or ""), Key(variable=self.api_key_env))

    def delete(self, endpoint: Endpoint) -> None:
        """Stop and remove the container, and what was exported for it."""
        from embedrun_plugins.services.docker.engine import client
        from embedrun_plugins.services.tei import container

        container.remove(client(), str(endpoint.details["container"]))
        remove_export(Path(endpoint.details["model"]))

    def export(self, folder: Path, model: Model) -> Path:
        """Write the model as TEI reads it. Raises UserError for one that TEI could not serve."""
        from embedrun_plugins.services.tei.export import export

        return export(model, folder, self.version_of(), gpu=self.on_gpu(), dtype=self.dtype).absolute()

    def environment(self, folder: Path) -> dict[str, str]:
        """Return what TEI is told of an exported model; no key is among it."""
        return environment.of(folder, None, self.limits, gpu=self.on_gpu(), dtype=self.dtype)

    def on_gpu(self) -> bool:
        """Say whether it will run on a GPU."""
        if self.gpu is not None:
            return self.gpu != "none"
        return ":cpu-" not in (self.image or "") and versions.capability() is not None

    def version_of(self) -> str | None:
        """Return TEI's version, where the image's name tells it."""
        return versions.version_of(self.image) if self.image else versions.NEWEST

    def image_for(self, client: Any) -> str:
        """Return the image to run. Raises UserError where the GPU is not seen, or TEI has no image for it."""
        from embedrun_plugins.services.docker.engine import architecture

        if self.image:
            return self.image
        capability = versions.capability(self.gpu or 0) if self.on_gpu() else None
        if self.on_gpu() and capability is None:
            raise UserError(f"gpu: `nvidia-smi` shows no GPU {self.gpu} on this machine; name another, or none")
        return versions.image_for(capability, architecture(client))

    def _pulled(self, client: Any, ctx: Context) -> Description:
        from embedrun_plugins.services import docker

        return docker.provided(client, self.image_for(client), (), None, lambda line: ctx.progress(line, 0, None))

    def _options(self, client: Any, ctx: Context, image: Description, folder: Path, port: int) -> dict[str, Any]:
        from embedrun_plugins.services.tei import options, records

        network = options.network_of(client, self.network)
        return {
            "image": image.id,
            "command": ["--model-id", _MODEL],
            "environment": options.base_environment(network, self.host, port) | self.environment(folder),
            "labels": records.labels(ctx) | {"embedrun.port": str(port)},
            "mounts": options.read_only(folder, _MODEL),
            "device_requests": options.devices(self.gpu or 0) if self.on_gpu() else [],
            **options.hardened(client.info(), self.memory, self.cpus),
            **options.reached(network, self.host, port),
        }

    def _warn(self, ctx: Context) -> None:
        from embedrun_plugins.models.serving.listener import is_loopback

        if self.api_key_env is None and not is_loopback(self.host):
            ctx.warn(f"{self.host} can be reached from other machines, and no API key is required (api_key_env)")


class _Exported(TeiDeployer):
    """Writes what TEI would load, checks it and says how TEI would be told to serve it; starts nothing."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        folder = self.export(ctx.out / "model", model)
        ctx.note("environment", self.environment(folder))
        return Endpoint(deployer=self.type, path=str(folder))

    def resolve(self, resolver: Resolver) -> _Exported:  # noqa: ARG002  # nothing must be there
        return self

    def delete(self, endpoint: Endpoint) -> None:
        remove_export(Path(endpoint.path or ""))


def rehearsed(stage: TeiDeployer, rehearsal: Rehearsal) -> TeiDeployer:
    """Return what is run instead: nothing is pulled, and no port or container of a real run is touched."""
    why, unsure = _obstacle(stage)
    if why is None:
        rehearsal.note("in its own container on a free port, which is stopped afterwards")
        latency = stage.latency and stage.latency.briefly()
        return changed(stage, host="127.0.0.1", port=0, restart="no", latency=latency)
    rehearsal.note(f"exported and checked; no container is started: {why}", unsure=unsure)
    return standing_in(_Exported, stage)


def _obstacle(stage: TeiDeployer) -> tuple[str | None, bool]:
    """Say why the container cannot be started in a rehearsal, and whether the run itself may stop for it."""
    from embedrun_plugins.services import docker
    from embedrun_plugins.services.docker.engine import client
    from embedrun_plugins.services.tei import preflight

    try:
        connected = client()
        preflight.require_here(connected)
        if stage.on_gpu():
            preflight.require_gpus(connected.info())
        reference = stage.image_for(connected)
        here = docker.describe(connected, reference)
    except UserError as error:
        return str(error), True
    return (None, False) if here else (f"the image {reference} is not here yet", False)
