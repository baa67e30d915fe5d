"""What a recipe says about an endpoint of SageMaker."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from embedrun.artifacts import Endpoint, Model, RetrievalSet
from embedrun.context import Context, Resolver, Unkeyed
from embedrun_plugins.services import aws
from embedrun_plugins.services.sagemaker.endpoint_options import AutoScaling, Environment
from embedrun_plugins.services.sagemaker.names import NAME
from embedrun_plugins.stages.aws_stage import INSTANCE, Account
from embedrun_plugins.stages.deployers.endpoint_deployer import AnsweringDeployer

if TYPE_CHECKING:
    from embedrun_plugins.services.endpoints.transports import Transport
    from embedrun_plugins.services.ledger.prices import ListPrice, Price
    from embedrun_plugins.services.sagemaker.endpoint import ModelContainer, Variant


class EndpointOptions(Account, AnsweringDeployer):
    """An endpoint: its machines, its container, and how long it lives."""

    seeded = False
    packages: ClassVar[Mapping[str, str]] = {"boto3": "sagemaker"}
    endpoint_name: str | None = Field(None, pattern=NAME)
    """Name of the endpoint; by default embedrun-RECIPE. One that this recipe deployed before is changed in place, and
    answers all the while; any other is left alone."""
    instance_type: str = Field("ml.m5.xlarge", pattern=INSTANCE)
    """What it runs on, a CPU or a GPU."""
    instances: int = Field(1, ge=1)
    """How many of them."""
    auto_scaling: AutoScaling | None = None
    """More instances when each is asked more, fewer when less; by default there are always as many."""
    image: str | None = Field(None, min_length=1)
    """Container image in ECR; by default the newest of AWS's that the installed sagemaker-core knows."""
    environment: Environment = Field(default_factory=dict)
    """More variables for the container, or others than by default."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Tags of all that is made, beside the run's own."""
    max_age_hours: float | None = Field(24.0, gt=0)
    """Hours after which `embedrun delete --expired` removes it; null for never."""
    timeout: Annotated[float, Unkeyed, Field(gt=0)] = 1800.0
    """Seconds that the endpoint may take to come up."""
    _listed: ListPrice | None = PrivateAttr(None)
    """Price of one instance, where it was asked for."""

    @abstractmethod
    def container(self, ctx: Context, model: Model, region: str) -> ModelContainer:
        """Return what runs: the image, what it is told, and the model packed below `ctx.out`.

        Raises UserError where it could not serve the model.
        """

    @abstractmethod
    def variant(self) -> Variant:
        """Return what it runs on."""

    def needs(self) -> Mapping[str, str]:
        return self.packages if self.image else {**self.packages, "sagemaker": "sagemaker"}

    def faults(self) -> Iterable[str]:
        scaling = self.auto_scaling
        if scaling and not scaling.min_instances <= self.instances <= scaling.max_instances:
            yield f"instances: {self.instances} is not between auto_scaling's min_instances and max_instances"
        if scaling and self.instance_type.startswith(("ml.t2.", "ml.t3.")):
            yield f"auto_scaling: SageMaker does not scale {self.instance_type}, since it is burstable"

    def reaches(self) -> Iterable[str]:
        services = ("sagemaker", "sagemaker-runtime", "s3", "sts", "iam", "logs", "application-autoscaling", "pricing")
        return [aws.address(service, region=self.region) for service in services]

    def variables(self) -> Iterable[str]:
        services = (
            "SAGEMAKER",
            "SAGEMAKER_RUNTIME",
            "STS",
            "IAM",
            "APPLICATION_AUTO_SCALING",
            "CLOUDWATCH_LOGS",
            "PRICING",
        )
        return (
            *aws.VARIABLES,
            *(f"AWS_ENDPOINT_URL_{service}" for service in services),
            "SAGEMAKER_ROLE",
            "EMBEDRUN_LEDGER",
        )

    def resolve(self, resolver: Resolver) -> Self:
        """Ask for the price, too, so that a plan shows it."""
        resolved = super().resolve(resolver)
        if not resolver.offline and importlib.util.find_spec("boto3"):
            self._listed = self.list_price(str(self.clients()("sagemaker").meta.region_name))
        return resolved

    def list_price(self, region: str) -> ListPrice | None:
        """Return AWS's list price of one of its instances; None where that cannot be had."""
        from embedrun_plugins.services.ledger.prices import HOSTING, look_up

        return look_up(self.instance_type, region, HOSTING, self.profile)

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:  # noqa: ARG002  # the price is the machine's
        price = self.price(self._listed)
        if price.usd is None:
            return {}
        listed = self._listed if price.date else None
        return {"usd an hour": price.shown() + (f" ({listed})" if listed else "")}

    def price(self, listed: ListPrice | None) -> Price:
        """Return what it costs while it is there, by the list price of one instance."""
        from embedrun_plugins.services.ledger.prices import Price

        if self.auto_scaling is None:
            return Price.of(listed, self.instances)
        return Price.of(listed, self.auto_scaling.min_instances, self.auto_scaling.max_instances)

    def transport(self, endpoint: Endpoint) -> Transport:
        """Return what carries requests to an endpoint that it made."""
        from embedrun_plugins.services.endpoints.sagemaker_transport import SageMakerTransport
        from embedrun_plugins.services.sagemaker.async_transport import AsyncTransport

        location, name = endpoint.details["place"], str(endpoint.details["endpoint_name"])
        if folder := endpoint.details.get("queue"):
            from embedrun_plugins.services.ledger.aws_clients import Clients

            return AsyncTransport(name, folder, Clients(location["region"], location["profile"]))
        return SageMakerTransport(name, region=location["region"], profile=location["profile"])


def capacity(stage: EndpointOptions) -> dict[str, Any]:
    """Return instances as CreateEndpointConfig takes them."""
    return {"InstanceType": stage.instance_type, "InitialInstanceCount": stage.instances, "InitialVariantWeight": 1.0}
