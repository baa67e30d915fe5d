"""What a recipe says about an endpoint of SageMaker."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from embedrun.artifacts import Endpoint, Model, RetrievalSet
from embedrun.context import Context, Unkeyed
from embedrun_plugins.services import aws
from embedrun_plugins.services.sagemaker.endpoint_options import AutoScaling, Environment
from embedrun_plugins.services.sagemaker.names import NAME
from embedrun_plugins.stages.aws_stage import INSTANCE, Account
from embedrun_plugins.stages.deployers.endpoint_deployer import AnsweringDeployer

if TYPE_CHECKING:
    from embedrun_plugins.services.endpoints.transports import Transport
    from embedrun_plugins.services.ledger.prices import Price
    from embedrun_plugins.services.sagemaker.endpoint import Container, Variant


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

    @abstractmethod
    def container(self, ctx: Context, model: Model, region: str) -> Container:
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
        services = ("sagemaker", "sagemaker-runtime", "s3", "sts", "iam", "logs", "application-autoscaling")
        return [aws.address(service, region=self.region) for service in services]

    def variables(self) -> Iterable[str]:
        own = ("SAGEMAKER", "SAGEMAKER_RUNTIME", "STS", "IAM", "APPLICATION_AUTO_SCALING", "CLOUDWATCH_LOGS")
        return (
            *aws.VARIABLES,
            *(f"AWS_ENDPOINT_URL_{service}" for service in own),
            "SAGEMAKER_ROLE",
            "EMBEDRUN_LEDGER",
        )

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:  # noqa: ARG002  # the price is the machine's
        price = self.price()
        return {} if price.usd is None else {"usd an hour (estimate)": price.shown()}

    def price(self) -> Price:
        """Return what it is estimated to cost while it is there."""
        from embedrun_plugins.services.ledger.prices import Price, hosting

        if (scaling := self.auto_scaling) is None:
            return Price(hosting(self.instance_type, self.instances))
        least, most = (hosting(self.instance_type, count) for count in (scaling.min_instances, scaling.max_instances))
        return Price(least, most)

    def transport(self, endpoint: Endpoint) -> Transport:
        """Return what carries requests to an endpoint that it made."""
        from embedrun_plugins.services.endpoints.sagemaker_transport import SageMakerTransport
        from embedrun_plugins.services.sagemaker.async_transport import Queued

        place, name = endpoint.details["place"], str(endpoint.details["endpoint_name"])
        if folder := endpoint.details.get("queue"):
            from embedrun_plugins.services.ledger.aws_clients import Clients

            return Queued(name, folder, Clients(place["region"], place["profile"]))
        return SageMakerTransport(name, region=place["region"], profile=place["profile"])


def capacity(stage: EndpointOptions) -> dict[str, Any]:
    """Return instances as CreateEndpointConfig takes them."""
    return {"InstanceType": stage.instance_type, "InitialInstanceCount": stage.instances, "InitialVariantWeight": 1.0}
