"""Removing what a deployment made, in the order in which nothing is left hanging, also where only part of it exists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun_plugins.services.ledger.aws_clients import Clients, is_about
from embedrun_plugins.services.ledger.ledger import LedgerEntry, Location, Resource
from embedrun_plugins.services.ledger.s3 import remove_bucket, remove_image, remove_objects, remove_repository

if TYPE_CHECKING:
    from tenacity.wait import wait_base

POLICY, TARGET = "scaling-policy", "scalable-target"
ENDPOINT, CONFIG, MODEL = "endpoint", "endpoint-config", "model"
JOB, IMAGE, REPOSITORY = "training-job", "image", "image-repository"
S3, BUCKET = "s3", "bucket"
ORDER = (POLICY, TARGET, ENDPOINT, CONFIG, MODEL, JOB, IMAGE, REPOSITORY, S3, BUCKET)
POLICY_NAME = "embedrun-invocations"
SCALED: Mapping[str, str] = {
    "ServiceNamespace": "sagemaker",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
NOT_FOUND = ("ValidationException:Could not find",)
NO_JOB = ("ResourceNotFound", "ValidationException:not found")
JOB_ENDING = (*NO_JOB, "ValidationException:because the training job is in status")
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack")
"""States that an endpoint cannot be deleted in."""
PAUSES = (0.2, 0.5, 1, 2, 5, 10, 15)
"""Seconds between questions about a state, the last of them again and again."""
WAIT_SECONDS = 1800.0
_IN_PROGRESS = ("ValidationException:in-progress", "ValidationException:in progress", "ConflictException")
UNREGISTERED = ("ObjectNotFoundException", "ValidationException:No scal")
_NEEDED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((ENDPOINT, JOB), (CONFIG, MODEL, S3, BUCKET)),
    IMAGE: (REPOSITORY,),
    S3: (BUCKET,),
}
"""What stays for as long as something else is there, which needs it or lies in it."""

Say = Callable[[str], None]


@dataclass
class Removal:
    """Removes the resources of one deployment."""

    clients: Clients
    place: Location
    resources: tuple[Resource, ...]
    say: Say = field(default=lambda _: None)
    wait_seconds: float = WAIT_SECONDS

    def run(self, done: Callable[[Resource], None]) -> list[str]:
        """Remove all; tell `done` of each that is gone, and return why others are not."""
        try:
            self._check_account()
        except EmbedrunError as error:
            return [f"{error}; still there: {', '.join(map(str, self.resources))}"]
        faults: list[str] = []
        left: list[str] = []
        for resource in sorted(self.resources, key=lambda item: ORDER.index(item.kind)):
            if owner := next((kind for kind in left if resource.kind in _NEEDED.get(kind, ())), None):
                faults.append(f"{resource}: kept for its {owner}")
                continue
            try:
                self._remove(resource)
                done(resource)
            except EmbedrunError as error:
                faults.append(f"{resource}: {error}")
                left.append(resource.kind)
        return faults

    def _check_account(self) -> None:
        """In another account everything would seem to be gone."""
        account = self.clients.account()
        if account != self.place.account:
            raise UserError(
                f"these credentials are of the AWS account {account}, and this was made in {self.place.account}; "
                "log in there"
            )

    def _remove(self, resource: Resource) -> None:
        remove: Mapping[str, Callable[[str], None]] = {
            POLICY: self._policy,
            TARGET: self._target,
            ENDPOINT: self._endpoint,
            CONFIG: lambda name: self._simple("delete_endpoint_config", EndpointConfigName=name),
            MODEL: lambda name: self._simple("delete_model", ModelName=name),
            JOB: self._job,
            IMAGE: lambda name: remove_image(self.clients, name),
            REPOSITORY: lambda name: remove_repository(self.clients, name),
            S3: lambda name: remove_objects(self.clients, name),
            BUCKET: lambda name: remove_bucket(self.clients, name),
        }
        remove[resource.kind](resource.name)

    def _simple(self, operation: str, **name: str) -> None:
        self.clients.find("sagemaker", operation, NOT_FOUND, **name)

    def _policy(self, resource_id: str) -> None:
        if self._is_ours(resource_id.split("/")[1]):
            arguments = {**SCALED, "ResourceId": resource_id, "PolicyName": POLICY_NAME}
            self.clients.find("application-autoscaling", "delete_scaling_policy", UNREGISTERED, **arguments)

    def _target(self, resource_id: str) -> None:
        if self._is_ours(resource_id.split("/")[1]):
            arguments = {**SCALED, "ResourceId": resource_id}
            self.clients.find("application-autoscaling", "deregister_scalable_target", UNREGISTERED, **arguments)

    @cached_property
    def _configs(self) -> frozenset[str]:
        return frozenset(resource.name for resource in self.resources if resource.kind == CONFIG)

    def _is_ours(self, name: str) -> bool:
        """Say whether an endpoint serves this deployment, or is gone; another run may have taken it over since."""
        endpoint = settled(self.clients, name, self.say, self.wait_seconds)
        return endpoint is None or endpoint["EndpointConfigName"] in self._configs

    def _job(self, name: str) -> None:
        """Stop a job, and wait for its end; what SageMaker remembers of it costs nothing."""
        job = describe_job(self.clients, name)
        if job and job["TrainingJobStatus"] == "InProgress":
            self.clients.find("sagemaker", "stop_training_job", JOB_ENDING, TrainingJobName=name)
        job_settled(self.clients, name, self.wait_seconds, ("InProgress", "Stopping"), self.say)

    def _endpoint(self, name: str) -> None:
        await_change(
            lambda: self._ask_to_delete(name),
            "EndpointStatus",
            None,
            what=f"endpoint {name}",
            seconds=self.wait_seconds,
            tell=lambda *_: self.say(f"waiting for endpoint {name}"),
        )

    def _ask_to_delete(self, name: str) -> dict[str, Any] | None:
        """Ask for the deletion; return the endpoint for as long as it is there, and has to be asked for again."""
        endpoint = describe(self.clients, name)
        if endpoint is None:
            return None
        state = endpoint["EndpointStatus"]
        if state in ("Deleting", *BUSY[1:]):
            return endpoint
        if endpoint["EndpointConfigName"] not in self._configs:
            self.say(f"endpoint {name} serves another deployment now, so it is not deleted")
            return None
        try:
            self.clients.find("sagemaker", "delete_endpoint", NOT_FOUND, EndpointName=name)
        except EmbedrunError as error:
            if not is_about(error, _IN_PROGRESS):
                raise
        return endpoint


def await_change(
    describe: Callable[[], dict[str, Any] | None],
    key: str,
    states: Collection[str] | None,
    *,
    what: str,
    seconds: float,
    setting: str = "",
    tell: Callable[[str, float], None] = lambda *_: None,
) -> dict[str, Any] | None:
    """Return what is described once its state, `key`, is none of `states`; None once it is gone.

    Without states it waits until it is gone. Tells the state and the seconds that have passed. Raises StageError, which
    names the setting that the limit comes from, once the limit has passed.
    """
    from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay

    def state(call: RetryCallState) -> str:
        return str(call.outcome.result()[key]) if call.outcome else ""

    def give_up(call: RetryCallState) -> dict[str, Any] | None:
        because = f" ({setting})" if setting else ""
        raise StageError(f"{what} is {state(call)}{because}: gave up after {seconds / 60:.0f} minutes")

    return Retrying(
        retry=retry_if_result(lambda there: there is not None and (states is None or there[key] in states)),
        stop=stop_after_delay(seconds),
        wait=pauses(),
        before_sleep=lambda call: tell(state(call), call.seconds_since_start or 0.0),
        retry_error_callback=give_up,
    )(describe)


def pauses() -> wait_base:
    """Return PAUSES as tenacity takes them."""
    from tenacity import wait_chain, wait_fixed

    return wait_chain(*map(wait_fixed, PAUSES))


def describe(clients: Clients, name: str) -> dict[str, Any] | None:
    """Return what SageMaker says of an endpoint; None where there is none."""
    endpoint: dict[str, Any] | None = clients.find("sagemaker", "describe_endpoint", NOT_FOUND, EndpointName=name)
    return endpoint


def describe_job(clients: Clients, name: str) -> dict[str, Any] | None:
    """Return what SageMaker says of a training job; None where there is none."""
    job: dict[str, Any] | None = clients.find("sagemaker", "describe_training_job", NO_JOB, TrainingJobName=name)
    return job


def job_settled(
    clients: Clients, name: str, seconds: float, states: tuple[str, ...] = ("Stopping",), say: Say = lambda _: None
) -> dict[str, Any] | None:
    """Return the same once it is in none of the states any more."""
    what = f"training job {name}"
    return await_change(
        lambda: describe_job(clients, name),
        "TrainingJobStatus",
        states,
        what=what,
        seconds=seconds,
        tell=lambda state, _: say(f"waiting for {what}: {state}"),
    )


def settled(clients: Clients, name: str, say: Say, seconds: float) -> dict[str, Any] | None:
    """Return the same once the endpoint no longer changes from one configuration to another."""
    what = f"endpoint {name}"
    return await_change(
        lambda: describe(clients, name),
        "EndpointStatus",
        BUSY[1:],
        what=what,
        seconds=seconds,
        tell=lambda state, _: say(f"waiting for {what}: {state}"),
    )


def remove(entry: LedgerEntry, say: Say = lambda _: None, clients: Clients | None = None) -> list[str]:
    """Remove what an entry of the ledger names; return what could not be removed, and why.

    What is gone is taken out of the entry at once, so that it can be gone on with after a crash.
    """
    record = entry.read()
    if record is None:
        return []
    removal = Removal(clients or Clients.of(record.place), record.place, record.resources, say)
    faults = removal.run(entry.drop) if record.resources else []
    entry.close()
    return faults
