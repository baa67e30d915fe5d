"""One deployment to SageMaker: model, endpoint configuration, endpoint; each written down before it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun_plugins.endpoints import naming, scaling
from embedrun_plugins.endpoints.existing import owners
from embedrun_plugins.endpoints.options import AutoScaling
from embedrun_plugins.endpoints.uploading import Storage
from embedrun_plugins.endpoints.watching import in_service
from embedrun_plugins.ledger.clients import Clients
from embedrun_plugins.ledger.entries import Entry, Ledger, Place, Resource
from embedrun_plugins.ledger.removal import BUCKET, CONFIG, ENDPOINT, MODEL, describe, remove, settled

ARCHIVE = "model.tar.gz"
_UNDER_WAY = ("ValidationException:in-progress",)
"""What a second request to change an endpoint is answered, where the first one's answer got lost."""
_EXISTS = ("ValidationException:already existing", "ResourceInUse", "ConflictException")


@dataclass(frozen=True)
class Container:
    """What runs behind the endpoint."""

    image: str
    environment: Mapping[str, str]
    archive: Path | None = None
    """Uploaded and unpacked at /opt/ml/model; None where the container fetches the model itself."""
    isolated: bool = False
    """Whether it gets no network."""


@dataclass(frozen=True)
class Variant:
    """What it runs on, as CreateEndpointConfig takes it."""

    capacity: Mapping[str, Any]
    """An instance type and a count, or ServerlessConfig."""
    asynchronous: Mapping[str, Any] | None = None
    """AsyncInferenceConfig, without its place in S3."""

    @property
    def instance_type(self) -> str | None:
        return self.capacity.get("InstanceType")


@dataclass
class Hosting:
    """Makes one deployment, or takes back what it made."""

    clients: Clients
    place: Place
    entry: Entry
    storage: Storage
    endpoint: str
    role: str
    folder: str
    """Folder of the bucket that this deployment's files go to."""
    tags: list[dict[str, str]]
    timeout: float
    on_progress: Callable[[str, float, float | None], None]
    ledger: Ledger = field(default_factory=Ledger)
    replaced: str | None = None
    """Configuration that the endpoint served before."""
    version: str = ""

    def __post_init__(self) -> None:
        self.version = self.version or naming.version_name(self.endpoint)

    @property
    def base(self) -> str:
        return f"s3://{self.storage.name}/{self.folder}/{self.version}"

    @contextmanager
    def taken_back(self, warn: Callable[[str], None]) -> Iterator[None]:
        """Remove all that was made where anything fails; what cannot be stays in the ledger, and is said."""
        try:
            yield
        except KeyboardInterrupt:
            warn("what was made so far is left as it is; `embedrun delete` removes it, `embedrun resources` shows it")
            raise
        except Exception:
            for left in self._take_back():
                warn(f"could not be removed: {left}; `embedrun delete` tries again")
            raise

    def _take_back(self) -> list[str]:
        try:
            if self.replaced:
                self._restore(self.replaced)
        except EmbedrunError as error:
            return [f"endpoint {self.endpoint}: {error}"]
        try:
            return remove(self.entry, clients=self.clients)
        except EmbedrunError as error:
            return [str(error)]

    def _restore(self, config: str) -> None:
        """Go back to what the endpoint served before, if it serves this deployment by now."""
        found = settled(self.clients, self.endpoint, lambda _: None, self.timeout)
        if found and found["EndpointConfigName"] == self.version:
            arguments = {"EndpointName": self.endpoint, "EndpointConfigName": config}
            self.clients.call("sagemaker", "update_endpoint", **arguments)
            in_service(self.clients, self.endpoint, config, self.timeout, self._tell)

    def _tell(self, state: str, passed: float) -> None:
        self.on_progress(f"endpoint {self.endpoint}: {state}", round(passed), None)

    def create(self, container: Container, variant: Variant) -> None:
        """Make it all and wait until the endpoint serves it; one that is there already is changed without a pause."""
        if container.archive or variant.asynchronous:
            self._share_bucket()
            self.storage.open()
        self._create_model(container)
        self._create_config(variant)
        self.entry.add(Resource(kind=ENDPOINT, name=self.endpoint))
        if self.replaced and self.scaled_before():
            self.entry.add(*scaling.resources(self.endpoint))
        if self.replaced:
            self._update(variant)
        else:
            self._create_endpoint()
        in_service(self.clients, self.endpoint, self.version, self.timeout, self._tell)

    def _share_bucket(self) -> None:
        """Whoever goes last removes a bucket that an earlier deployment made."""
        bucket = Resource(kind=BUCKET, name=self.storage.name)
        if any(bucket in record.resources for _, record in self.ledger.entries()):
            self.entry.add(bucket)

    def _create_model(self, container: Container) -> None:
        place: dict[str, str] = {}
        if container.archive:
            uri = f"{self.base}/{ARCHIVE}"
            self.storage.upload(container.archive, uri, lambda sent, size: self.on_progress("uploading", sent, size))
            place = {"ModelDataUrl": uri}
        primary = {"Image": container.image, "Environment": dict(container.environment), **place}
        self.entry.add(Resource(kind=MODEL, name=self.version))
        self._made(
            "create_model",
            ModelName=self.version,
            PrimaryContainer=primary,
            ExecutionRoleArn=self.role,
            EnableNetworkIsolation=container.isolated,
            Tags=self.tags,
        )

    def _create_config(self, variant: Variant) -> None:
        production = {"VariantName": scaling.VARIANT, "ModelName": self.version, **variant.capacity}
        queue: dict[str, Any] = {}
        if variant.asynchronous is not None:
            self.entry.add(Resource(kind="s3", name=f"{self.base}/async/"))
            output = {"S3OutputPath": f"{self.base}/async/output", "S3FailurePath": f"{self.base}/async/failure"}
            queue = {"AsyncInferenceConfig": {**variant.asynchronous, "OutputConfig": output}}
        self.entry.add(Resource(kind=CONFIG, name=self.version))
        arguments = {"EndpointConfigName": self.version, "ProductionVariants": [production], "Tags": self.tags}
        self._made("create_endpoint_config", **arguments, **queue)

    def _create_endpoint(self) -> None:
        arguments = {"EndpointName": self.endpoint, "EndpointConfigName": self.version, "Tags": self.tags}
        self._made("create_endpoint", **arguments)
        found = describe(self.clients, self.endpoint)
        if found and found["EndpointConfigName"] != self.version:
            raise UserError(f"endpoint {self.endpoint}: somebody else made it at the same time; name another")

    def _made(self, operation: str, **arguments: Any) -> None:
        """Create something of a name of its own; that it is there already is the answer to a request sent twice."""
        self.clients.find("sagemaker", operation, _EXISTS, **arguments)

    def _update(self, variant: Variant) -> None:
        """Change a living endpoint: SageMaker brings the new instances up before it lets the old ones go."""
        if self._scaled_otherwise(variant):
            scaling.unscale(self.clients, self.entry, self.endpoint)
        arguments = {"EndpointName": self.endpoint, "EndpointConfigName": self.version}
        self.clients.find("sagemaker", "update_endpoint", _UNDER_WAY, **arguments)
        self.clients.call("sagemaker", "add_tags", ResourceArn=self._arn(), Tags=self.tags)

    def _arn(self) -> str:
        found = describe(self.clients, self.endpoint)
        if found is None:
            raise StageError(f"endpoint {self.endpoint}: was deleted by somebody else while it was changed")
        return str(found["EndpointArn"])

    def _scaled_otherwise(self, variant: Variant) -> bool:
        """Say whether it is scaled on instances of another type, which SageMaker would refuse to change."""
        if not self.scaled_before():
            return False
        found = self.clients.call("sagemaker", "describe_endpoint_config", EndpointConfigName=self.replaced)
        return bool(found["ProductionVariants"][0].get("InstanceType") != variant.instance_type)

    def scaled_before(self) -> bool:
        wanted = set(scaling.resources(self.endpoint))
        return any(wanted & set(record.resources) for _, record in self.ledger.entries())

    def scale(self, wanted: AutoScaling | None) -> None:
        if wanted:
            scaling.scale(self.clients, self.entry, self.endpoint, wanted)
        elif self.replaced and self.scaled_before():
            scaling.unscale(self.clients, self.entry, self.endpoint)

    def retire(self) -> list[str]:
        """Remove what the endpoint served before; return what could not be."""
        faults = []
        shared = (Resource(kind=ENDPOINT, name=self.endpoint), *scaling.resources(self.endpoint))
        for entry, _ in owners(self.ledger, self.place, self.endpoint):
            if entry.id != self.entry.id:
                try:
                    entry.drop(*shared)
                    faults += remove(entry, clients=self.clients)
                except EmbedrunError as error:
                    faults.append(str(error))
        return faults
