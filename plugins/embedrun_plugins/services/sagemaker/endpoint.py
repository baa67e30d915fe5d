"""One deployment to SageMaker: model, endpoint configuration, endpoint; each written down before it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger, LedgerEntry, Location, Record, Resource
from embedrun_plugins.services.ledger.resources import BUCKET, CONFIG, ENDPOINT, MODEL, describe, remove, settled
from embedrun_plugins.services.sagemaker import names, scaling
from embedrun_plugins.services.sagemaker.endpoint_options import AutoScaling
from embedrun_plugins.services.sagemaker.existing_endpoint import owners
from embedrun_plugins.services.sagemaker.upload import Storage
from embedrun_plugins.services.sagemaker.wait import in_service

ARCHIVE = "model.tar.gz"
_UNDER_WAY = ("ValidationException:in-progress",)
"""What a second request to change an endpoint is answered, where the first one's answer got lost."""
_EXISTS = ("ValidationException:already existing", "ResourceInUse", "ConflictException")


@dataclass(frozen=True)
class ModelContainer:
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

    @property
    def max_concurrency(self) -> int | None:
        """Requests that a serverless endpoint takes at once; None on instances, which queue them."""
        limit: int | None = self.capacity.get("ServerlessConfig", {}).get("MaxConcurrency")
        return limit


@dataclass
class EndpointDeployment:
    """Makes one deployment, or takes back what it made."""

    clients: Clients
    place: Location
    entry: LedgerEntry
    storage: Storage
    endpoint: str
    role: str
    folder: str
    """Folder of the bucket that this deployment's files go to."""
    tags: list[dict[str, str]]
    timeout: float
    on_progress: Callable[[str, float, float | None], None]
    auto_scaling: AutoScaling | None = None
    ledger: Ledger = field(default_factory=Ledger)
    replaced: str | None = None
    """Configuration that the endpoint served before."""
    scaled: scaling.ScalingState | None = None
    """How it was scaled before; None where that stays as it is."""
    moves: bool = False
    """Whether it was scaled on instances of another type."""
    keeps_count: bool = False
    """Whether the instances that scaling added stay."""
    version: str = ""

    def __post_init__(self) -> None:
        self.version = self.version or names.version_name(self.endpoint)

    @property
    def base(self) -> str:
        return f"s3://{self.storage.name}/{self.folder}/{self.version}"

    @contextmanager
    def taken_back(self, warn: Callable[[str], None]) -> Iterator[None]:
        """Remove all that was made where anything fails; what cannot be stays in the ledger, and is said."""
        try:
            yield
        except KeyboardInterrupt:
            warn("what was made so far is kept; `embedrun delete` removes it, `embedrun resources` shows it")
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
        """Go back to what the endpoint served before, if it serves this deployment by now, and to how it was scaled."""
        targets, earlier = scaling.resources(self.endpoint), self._others()
        for entry, _ in earlier if self.scaled else ():
            entry.add(*targets)  # theirs from now on, also where this goes no further
        endpoint = settled(self.clients, self.endpoint, lambda _: None, self.timeout)
        if endpoint and endpoint["EndpointConfigName"] == self.version:
            self._change_to(config)
            in_service(self.clients, self.endpoint, config, self.timeout, self._tell)
        if endpoint and self.scaled:
            scaling.put_back(self.clients, self.entry, self.endpoint, self.scaled)
            for entry, _ in () if self.scaled.target else earlier:
                entry.drop(*targets)

    def _change_to(self, config: str) -> None:
        arguments: dict[str, Any] = {"EndpointName": self.endpoint, "EndpointConfigName": config}
        arguments |= {"RetainAllVariantProperties": True} if self.keeps_count else {}
        self.clients.find("sagemaker", "update_endpoint", _UNDER_WAY, **arguments)

    def _tell(self, state: str, passed: float) -> None:
        self.on_progress(f"endpoint {self.endpoint}: {state}", round(passed), None)

    def create(self, container: ModelContainer, variant: Variant) -> None:
        """Make it all and wait until the endpoint serves it; one that is there already is changed without a pause."""
        if container.archive or variant.asynchronous:
            self._share_bucket()
            self.storage.open()
        self._create_model(container)
        self._create_config(variant)
        self.entry.add(Resource(kind=ENDPOINT, name=self.endpoint))
        if self.replaced:
            self._learn(self.replaced, variant)
            self._update()
        else:
            self._create_endpoint()
        in_service(self.clients, self.endpoint, self.version, self.timeout, self._tell)

    def _share_bucket(self) -> None:
        """Whoever goes last removes a bucket that an earlier deployment made."""
        bucket = Resource(kind=BUCKET, name=self.storage.name)
        if any(bucket in record.resources for _, record in self.ledger.entries()):
            self.entry.add(bucket)

    def _create_model(self, container: ModelContainer) -> None:
        model_data: dict[str, str] = {}
        if container.archive:
            uri = f"{self.base}/{ARCHIVE}"
            self.storage.upload(container.archive, uri, lambda sent, size: self.on_progress("uploading", sent, size))
            model_data = {"ModelDataUrl": uri}
        primary = {"Image": container.image, "Environment": dict(container.environment), **model_data}
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
        endpoint = describe(self.clients, self.endpoint)
        if endpoint and endpoint["EndpointConfigName"] != self.version:
            raise UserError(f"endpoint {self.endpoint}: somebody else made it at the same time; name another")

    def _made(self, operation: str, **arguments: Any) -> None:
        """Create something of a name of its own; that it is there already is the answer to a request sent twice."""
        self.clients.find("sagemaker", operation, _EXISTS, **arguments)

    def _update(self) -> None:
        """Change a living endpoint: SageMaker brings the new instances up before it lets the old ones go."""
        if self.moves:  # which SageMaker refuses while it is scaled
            scaling.unscale(self.clients, self.entry, self.endpoint)
        self._change_to(self.version)
        self.clients.call("sagemaker", "add_tags", ResourceArn=self._arn(), Tags=self.tags)

    def _arn(self) -> str:
        endpoint = describe(self.clients, self.endpoint)
        if endpoint is None:
            raise StageError(f"endpoint {self.endpoint}: was deleted by somebody else while it was changed")
        return str(endpoint["EndpointArn"])

    def _learn(self, config: str, variant: Variant) -> None:
        """Ask how the endpoint is before it is changed, so that it can be put back; who never scales asks nothing."""
        targets = scaling.resources(self.endpoint)
        if not self.auto_scaling and not any(set(targets) & set(record.resources) for _, record in self._others()):
            return
        self.scaled = scaling.read(self.clients, self.endpoint)
        if self.scaled.target:
            self.entry.add(*targets)
            described = self.clients.call("sagemaker", "describe_endpoint_config", EndpointConfigName=config)
            before = described["ProductionVariants"][0]
            self.moves = before.get("InstanceType") != variant.instance_type
            same = before.get("InitialInstanceCount") == variant.capacity.get("InitialInstanceCount")
            self.keeps_count = bool(self.auto_scaling and same and not self.moves)

    def _others(self) -> list[tuple[LedgerEntry, Record]]:
        """Return the other deployments that the endpoint belongs to."""
        return [owner for owner in owners(self.ledger, self.place, self.endpoint) if owner[0].id != self.entry.id]

    def scale(self) -> None:
        if self.auto_scaling:
            scaling.scale(self.clients, self.entry, self.endpoint, self.auto_scaling)
        elif self.scaled and self.scaled.target:
            scaling.unscale(self.clients, self.entry, self.endpoint)

    def retire(self) -> list[str]:
        """Remove what the endpoint served before; return what could not be."""
        faults = []
        shared = (Resource(kind=ENDPOINT, name=self.endpoint), *scaling.resources(self.endpoint))
        for entry, _ in self._others():
            try:
                entry.drop(*shared)
                faults += remove(entry, clients=self.clients)
            except EmbedrunError as error:
                faults.append(str(error))
        return faults
