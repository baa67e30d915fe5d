"""A stand-in for SageMaker's control plane and runtime, which really runs what it is given.

It keeps models, configurations and endpoints, unpacks model.tar.gz from S3, starts a container (or a stand-in for one)
behind each endpoint, and answers as AWS does where something is wrong: names that exist, that do not, that are busy;
values outside their enumerations; containers that do not come up; requests that they refuse.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import shutil
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aws_shapes import outside_enums

ACCOUNT, REGION = "123456789012", "us-east-1"
BODY_BYTES = 6_291_456
CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")
QUESTIONS = 2
"""How often DescribeEndpoint tells of a change before it is over, so that it is always as often."""
LONGEST = 5.0
"""Seconds that it waits for what takes longer, as real containers do, before it tells of it once more."""
Answer = tuple[int, dict[str, Any]]
Change = Callable[[], dict[str, Any] | None]
"""Carries a change out, and returns what is to be told of the endpoint then; None where it is gone."""


class Running(Protocol):
    """What runs behind an endpoint."""

    def invoke(self, body: bytes, content_type: str) -> tuple[int, bytes]: ...

    def stop(self) -> None: ...


class NoContainerError(Exception):
    """A container that does not pass its health check, and what it said."""

    def __init__(self, reason: str, said: str = "") -> None:
        super().__init__(reason)
        self.said = said


Launch = Callable[[str, Mapping[str, str], Path], Running]
"""Starts an image with an environment and the folder that lies at /opt/ml/model, and returns once it is healthy."""


@dataclass
class Endpoint:
    """An endpoint and what answers for it."""

    described: dict[str, Any]
    running: Running | None = None
    change: Future[dict[str, Any] | None] | None = None
    """What is under way."""
    questions: int = 0
    """How often the change was asked for."""
    under_way: int = 0
    """Requests that are being answered."""


@dataclass
class Served:
    """What runs, and the folder that it serves, which goes with it."""

    running: Running
    folder: Path

    def invoke(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        return self.running.invoke(body, content_type)

    def stop(self) -> None:
        self.running.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Simulator:
    """One account's SageMaker in one region."""

    s3: Any
    logs: Any
    launch: Launch
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    folders: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="sagemaker-", ignore_cleanup_errors=True)
    )
    """What lies at /opt/ml/model of each container."""
    changes: ThreadPoolExecutor = field(default_factory=ThreadPoolExecutor)
    lock: threading.Lock = field(default_factory=threading.Lock)
    more: Callable[[dict[str, Any]], Mapping[str, Callable[[], Answer]]] = lambda _: {}
    """Other operations, by what was given."""

    def left(self) -> list[str]:
        """Name all that is there."""
        return sorted([*self.models, *self.configs, *self.endpoints])

    def settle(self) -> None:
        """Wait until nothing changes any more."""
        for name in list(self.endpoints):
            self._end(name, None)

    def stop(self) -> None:
        self.settle()
        for endpoint in self.endpoints.values():
            if endpoint.running:
                endpoint.running.stop()
        self.changes.shutdown()
        self.folders.cleanup()

    def _begin(self, endpoint: Endpoint, state: str, change: Change) -> None:
        """Begin a change."""
        endpoint.described["EndpointStatus"] = state
        endpoint.questions = 0
        endpoint.change = self.changes.submit(change)

    def _end(self, name: str, seconds: float | None) -> None:
        """Let a change be over, once it is carried out."""
        with self.lock:
            endpoint = self.endpoints.get(name)
            if endpoint is None or endpoint.change is None:
                return
            try:
                told = endpoint.change.result(seconds)
            except TimeoutError:
                return
            endpoint.change = None
            if told is None:
                del self.endpoints[name]
            else:
                endpoint.described.update(told)

    def call(self, operation: str, given: dict[str, Any]) -> Answer:
        """Answer an operation of the control plane."""
        if wrong := outside_enums(operation, given):
            return _refused("; ".join(wrong))
        known = {
            "CreateModel": lambda: self._create("model", self.models, given["ModelName"], given),
            "DescribeModel": lambda: self._describe("model", self.models, given["ModelName"]),
            "DeleteModel": lambda: self._delete("model", self.models, given["ModelName"]),
            "CreateEndpointConfig": lambda: self._create_config(given),
            "DescribeEndpointConfig": lambda: self._describe("endpoint-config", self.configs, _config(given)),
            "DeleteEndpointConfig": lambda: self._delete("endpoint-config", self.configs, _config(given)),
            "CreateEndpoint": lambda: self._create_endpoint(given),
            "UpdateEndpoint": lambda: self._update_endpoint(given),
            "DescribeEndpoint": lambda: self._describe_endpoint(given["EndpointName"]),
            "DeleteEndpoint": lambda: self._delete_endpoint(given["EndpointName"]),
            "AddTags": lambda: self._add_tags(given["ResourceArn"], given["Tags"]),
            "ListTags": lambda: (200, {"Tags": _listed(self.tags.get(given["ResourceArn"], {}))}),
            **self.more(given),
        }
        if operation not in known:
            return _refused(f"{operation} is not simulated", "UnknownOperationException")
        return known[operation]()

    def _create(self, kind: str, things: dict[str, dict[str, Any]], name: str, given: dict[str, Any]) -> Answer:
        if name in things:
            return _refused(f'Cannot create already existing {kind.replace("-", " ")} "{arn(kind, name)}".')
        things[name] = given
        self._add_tags(arn(kind, name), given.get("Tags", []))
        key = {"model": "ModelArn", "endpoint-config": "EndpointConfigArn"}[kind]
        return 200, {key: arn(kind, name)}

    def _describe(self, kind: str, things: dict[str, dict[str, Any]], name: str) -> Answer:
        if name not in things:
            return _missing(kind, name)
        key = {"model": "ModelArn", "endpoint-config": "EndpointConfigArn"}[kind]
        return 200, {**things[name], key: arn(kind, name), "CreationTime": time.time()}

    def _delete(self, kind: str, things: dict[str, dict[str, Any]], name: str) -> Answer:
        return (200, {}) if things.pop(name, None) else _missing(kind, name)

    def _create_config(self, given: dict[str, Any]) -> Answer:
        for variant in given["ProductionVariants"]:
            if variant["ModelName"] not in self.models:
                return _missing("model", variant["ModelName"])
        return self._create("endpoint-config", self.configs, given["EndpointConfigName"], given)

    def _create_endpoint(self, given: dict[str, Any]) -> Answer:
        name, config = given["EndpointName"], given["EndpointConfigName"]
        if name in self.endpoints:
            return _refused(f'Cannot create already existing endpoint "{arn("endpoint", name)}".')
        if config not in self.configs:
            return _missing("endpoint-config", config)
        described = {
            "EndpointName": name,
            "EndpointArn": arn("endpoint", name),
            "EndpointConfigName": config,
            "CreationTime": time.time(),
            "LastModifiedTime": time.time(),
        }
        self.endpoints[name] = Endpoint(described)
        self._add_tags(arn("endpoint", name), given.get("Tags", []))
        self._begin(self.endpoints[name], "Creating", functools.partial(self._come_up, self.endpoints[name]))
        return 200, {"EndpointArn": arn("endpoint", name)}

    def _come_up(self, endpoint: Endpoint) -> dict[str, Any]:
        described = endpoint.described
        try:
            endpoint.running = self._start(described["EndpointName"], described["EndpointConfigName"])
        except Exception as error:  # noqa: BLE001  # whatever it is, AWS says that the endpoint failed
            return {"EndpointStatus": "Failed", "FailureReason": str(error)[:1000]}
        return {"EndpointStatus": "InService"}

    def _start(self, name: str, config: str) -> Running:
        variant = self.configs[config]["ProductionVariants"][0]
        container = self.models[variant["ModelName"]]["PrimaryContainer"]
        folder = Path(tempfile.mkdtemp(dir=self.folders.name))
        if "ModelDataUrl" in container:
            self._unpack(container["ModelDataUrl"], folder)
        try:
            return Served(self.launch(container["Image"], container.get("Environment", {}), folder), folder)
        except NoContainerError as error:
            shutil.rmtree(folder, ignore_errors=True)
            self._log(name, error.said)
            said = f"The primary container for production variant {variant['VariantName']} did not pass the ping health"
            raise NoContainerError(f"{said} check. {error}") from error

    def _unpack(self, uri: str, folder: Path) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
            self.s3.download_file(bucket, key, file.name)
            with tarfile.open(file.name, "r:gz") as tar:
                tar.extractall(folder, filter="data")

    def _log(self, name: str, said: str) -> None:
        group = f"/aws/sagemaker/Endpoints/{name}"
        self.logs.create_log_group(logGroupName=group)
        self.logs.create_log_stream(logGroupName=group, logStreamName="AllTraffic/i-1")
        events = [{"timestamp": int(time.time() * 1000), "message": line} for line in said.splitlines() if line]
        if events:
            self.logs.put_log_events(logGroupName=group, logStreamName="AllTraffic/i-1", logEvents=events)

    def _update_endpoint(self, given: dict[str, Any]) -> Answer:
        name, config = given["EndpointName"], given["EndpointConfigName"]
        if name not in self.endpoints:
            return _missing("endpoint", name)
        endpoint = self.endpoints[name]
        if endpoint.described["EndpointStatus"] in CHANGING:
            return _refused(f'Cannot update in-progress endpoint "{arn("endpoint", name)}".')
        if config not in self.configs:
            return _missing("endpoint-config", config)
        endpoint.described.pop("FailureReason", None)
        self._begin(endpoint, "Updating", functools.partial(self._change, endpoint, config))
        return 200, {"EndpointArn": arn("endpoint", name)}

    def _change(self, endpoint: Endpoint, config: str) -> dict[str, Any]:
        """Blue/green: what answered before goes on until the new container is healthy."""
        before = endpoint.running
        try:
            endpoint.running = self._start(endpoint.described["EndpointName"], config)
            if before:
                before.stop()
        except Exception as error:  # noqa: BLE001
            return {"EndpointStatus": "InService", "FailureReason": str(error)[:1000]}
        return {"EndpointStatus": "InService", "EndpointConfigName": config}

    def _describe_endpoint(self, name: str) -> Answer:
        endpoint = self.endpoints.get(name)
        if endpoint and endpoint.questions == QUESTIONS:
            self._end(name, LONGEST)
        elif endpoint:
            endpoint.questions += 1
        return (200, dict(self.endpoints[name].described)) if name in self.endpoints else _missing("endpoint", name)

    def _delete_endpoint(self, name: str) -> Answer:
        if name not in self.endpoints:
            return _missing("endpoint", name)
        endpoint = self.endpoints[name]
        if endpoint.described["EndpointStatus"] in CHANGING:
            return _refused(f'Cannot update in-progress endpoint "{arn("endpoint", name)}".')
        if endpoint.described["EndpointStatus"] != "Deleting":
            self._begin(endpoint, "Deleting", functools.partial(self._go, endpoint))
        return 200, {}

    def _go(self, endpoint: Endpoint) -> None:
        if endpoint.running:
            endpoint.running.stop()

    def _add_tags(self, resource: str, tags: list[dict[str, str]]) -> Answer:
        self.tags.setdefault(resource, {}).update({tag["Key"]: tag["Value"] for tag in tags})
        return 200, {"Tags": _listed(self.tags[resource])}

    def invoke(self, name: str, body: bytes, content_type: str) -> tuple[int, dict[str, str], bytes]:
        """Answer the runtime's InvokeEndpoint."""
        endpoint = self.endpoints.get(name)
        if endpoint is None or endpoint.running is None:
            said = {"message": f"Endpoint {name} of account {ACCOUNT} not found."}
            return 400, {"x-amzn-ErrorType": "ValidationError"}, json.dumps(said).encode()
        if len(body) > BODY_BYTES:
            return 413, {"x-amzn-ErrorType": "ValidationError"}, b'{"message": "the body is too large"}'
        with self._room(endpoint) as room:
            if not room:
                said = {"message": "Rate exceeded"}
                return 400, {"x-amzn-ErrorType": "ThrottlingException"}, json.dumps(said).encode()
            status, answer = endpoint.running.invoke(body, content_type)
        if status == 200:
            headers = {"Content-Type": "application/json", "x-Amzn-Invoked-Production-Variant": "AllTraffic"}
            return 200, headers, answer
        said = {
            "OriginalMessage": answer.decode("utf-8", "replace")[:500],
            "OriginalStatusCode": status,
            "message": f"Received client error ({status}) from primary with message {answer[:200]!r}.",
        }
        return 424, {"x-amzn-ErrorType": "ModelError"}, json.dumps(said).encode()

    @contextlib.contextmanager
    def _room(self, endpoint: Endpoint) -> Iterator[bool]:
        """Say whether an endpoint takes one more request at once, which a serverless one limits."""
        variant = self.configs[endpoint.described["EndpointConfigName"]]["ProductionVariants"][0]
        most = variant.get("ServerlessConfig", {}).get("MaxConcurrency", math.inf)
        with self.lock:
            endpoint.under_way += (room := endpoint.under_way < most)
        try:
            yield room
        finally:
            with self.lock:
                endpoint.under_way -= room

    def invoke_async(self, name: str, location: str, content_type: str) -> tuple[int, dict[str, str], bytes]:
        """Answer InvokeEndpointAsync: read the request from S3, and put the answer there a little later."""
        config = self.configs[self.endpoints[name].described["EndpointConfigName"]]
        output, number = config["AsyncInferenceConfig"]["OutputConfig"], uuid.uuid4()
        places = {200: f"{output['S3OutputPath']}/{number}.out", 0: f"{output['S3FailurePath']}/{number}-error.out"}

        def work() -> None:
            bucket, _, key = location.removeprefix("s3://").partition("/")
            body = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            status, _, answer = self.invoke(name, body, content_type)
            bucket, _, key = places.get(status, places[0]).removeprefix("s3://").partition("/")
            self.s3.put_object(Bucket=bucket, Key=key, Body=answer)

        threading.Thread(target=work, daemon=True).start()
        told = {"X-Amzn-SageMaker-OutputLocation": places[200], "X-Amzn-SageMaker-FailureLocation": places[0]}
        return 202, {**told, "Content-Type": "application/json"}, json.dumps({"InferenceId": str(number)}).encode()


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name.lower()}"


def _config(given: dict[str, Any]) -> str:
    return str(given["EndpointConfigName"])


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _refused(message: str, code: str = "ValidationException") -> Answer:
    return 400, {"__type": code, "message": message}


def _missing(kind: str, name: str) -> Answer:
    words = {"endpoint-config": "endpoint configuration"}.get(kind, kind)
    return _refused(f'Could not find {words} "{arn(kind, name)}".')
