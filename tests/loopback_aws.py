"""AWS on this machine's loopback address: moto's S3, STS, IAM, auto scaling and logs, and the SageMaker simulator.

One address in front of all of them sees every request: it writes down what was called and with which headers, and
can be told to fail any call in the ways that AWS fails.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import boto3
from moto.server import ThreadedMotoServer

from embedrun_plugins.services import aws
from sagemaker_simulator import REGION, Answer, Launch, Simulator
from training_simulator import Trainings

ROLE = "embedrun-execution"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED00",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-access-key-0123456789",
    "AWS_SESSION_TOKEN": "planted-session-token",
    "HF_TOKEN": "hf_plantedplantedplantedplanted",
}
"""Values that must turn up nowhere."""
Answered = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""
Fault = Literal["throttled", "denied", "limit", "expired", "gone"]
CODES: dict[Fault, tuple[int, str, str, str]] = {
    "throttled": (400, "ThrottlingException", "SlowDown", "Rate exceeded"),
    "denied": (403, "AccessDeniedException", "AccessDenied", "User is not authorized to perform this"),
    "limit": (400, "ResourceLimitExceeded", "ServiceUnavailable", "The account-level service limit is 0 Instances"),
    "expired": (403, "ExpiredTokenException", "ExpiredToken", "The security token included is expired"),
}

_SERVICES = {
    "AnyScaleFrontendService": "AutoScaling",
    "Logs_20140328": "Logs",
    "AmazonEC2ContainerRegistry_V20150921": "Ecr",
}


PRICES = {"ml.m5.xlarge": 0.23, "ml.g5.xlarge": 1.408}
"""US dollars an hour."""
PUBLISHED = "2026-11-20"


def products(operation: str, request: dict[str, Any]) -> Answer:
    """Answer as AWS's price list does, whose products are JSON in JSON."""
    assert operation == "GetProducts"
    wanted = {one["Field"]: one["Value"] for one in request["Filters"]}
    listed = []
    for use in ("Notebk", "Host", "Train", "AsyncInf") if wanted["instanceName"] in PRICES else ():
        rate = {"unit": "Hrs", "pricePerUnit": {"USD": f"{PRICES[wanted['instanceName']]:.10f}"}}
        attributes = {"regionCode": wanted["regionCode"], "usagetype": f"USE1-{use}:{wanted['instanceName']}"}
        product = {"productFamily": "ML Instance", "attributes": attributes}
        terms = {"OnDemand": {"SKU.TERM": {"priceDimensions": {"SKU.TERM.RATE": rate}}}}
        listed.append({"product": product, "terms": terms, "publicationDate": f"{PUBLISHED}T02:56:06Z"})
    return 200, {"FormatVersion": "aws_v1", "PriceList": [json.dumps(one) for one in listed]}


@dataclass
class Call:
    """A request that came in."""

    name: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Front:
    """What every request passes."""

    simulator: Simulator
    moto: tuple[str, int]
    calls: list[Call] = field(default_factory=list)
    failing: Callable[[int, str], Fault | None] = lambda _number, _name: None
    """Says for each call, by its number and name, how it fails."""
    passed: Callable[[int, str], None] = lambda _number, _name: None
    """Told of each call that was carried out, before it is answered."""
    services: dict[str, Callable[[str, dict[str, Any]], Answer]] = field(
        default_factory=lambda: {"AWSPriceListService": products}
    )
    """Others that are asked in JSON, by the first word of their calls' names."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes] | None:
        name = name_of(method, path, headers, body)
        with self.lock:
            number = len(self.calls)
            self.calls.append(Call(name, headers, body))
        fault = self.failing(number, name)
        if fault == "gone":
            return None
        answered = refused(name, fault) if fault else self._carried_out(name, method, path, headers, body)
        self.passed(number, name)
        return answered

    def _carried_out(self, name: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Answered:
        kind = headers.get("content-type", "application/json")
        if found := re.fullmatch(r"/endpoints/([^/]+)/invocations", path):
            return self.simulator.invoke(found[1], body, kind)
        if found := re.fullmatch(r"/endpoints/([^/]+)/async-invocations", path):
            return self.simulator.invoke_async(found[1], headers["x-amzn-sagemaker-inputlocation"], kind)
        if name.startswith("SageMaker."):
            status, said = self.simulator.call(name.removeprefix("SageMaker."), json.loads(body or b"{}"))
            return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(said).encode()
        service, _, operation = name.partition(".")
        if service in self.services:
            status, said = self.services[service](operation, json.loads(body or b"{}"))
            return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(said).encode()
        return self._by_moto(method, path, headers, body)

    def _by_moto(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answered:
        connection = http.client.HTTPConnection(*self.moto, timeout=60)
        passed = {key: value for key, value in headers.items() if key not in ("expect", "connection")}
        try:
            connection.request(method, path, body, passed)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        dropped = ("transfer-encoding", "content-length", "connection", "date", "server")
        return response.status, {k: v for k, v in response.getheaders() if k.lower() not in dropped}, answer


def name_of(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """Return SERVICE.OPERATION as far as the request tells; S3's by method and path."""
    if target := headers.get("x-amz-target"):
        service, _, operation = target.partition(".")
        return f"{_SERVICES.get(service, service)}.{operation}"
    if path.startswith("/endpoints/"):
        return f"Runtime.{path.rsplit('/', 1)[-1]}"
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return f"Query.{parse_qs(body.decode())['Action'][0]}"
    address = urlsplit(path)
    query = sorted(parse_qs(address.query, keep_blank_values=True))
    of = "key" if address.path.strip("/").count("/") else "bucket"
    return " ".join([f"S3.{method}", of, *query])


def refused(name: str, fault: Fault) -> Answered:
    """Return an error in the form of the service that was asked."""
    status, json_code, xml_code, message = CODES[fault]
    if name.startswith("S3."):
        status = 503 if fault in ("throttled", "limit") else status
        text = f"<Error><Code>{xml_code}</Code><Message>{message}</Message></Error>"
        return status, {"Content-Type": "application/xml"}, b"" if " HEAD " in f" {name[3:]} " else text.encode()
    if name.startswith("Query."):
        code = json_code if fault in ("throttled", "limit") else xml_code
        text = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        return status, {"Content-Type": "text/xml"}, text.encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": json_code}
    return status, headers, json.dumps({"__type": json_code, "message": message}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer goes out in two parts, the second of which waits 40 ms otherwise
    front: Front

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        found = self.front.answer(self.command, self.path, headers, body)
        if found is None:
            self.close_connection = True
            self.connection.close()
            return
        status, given, answer = found
        self.send_response(status)
        for key, value in given.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keep the tests' output quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Say nothing where a client was killed before it was answered."""


@dataclass
class LoopbackAws:
    """The account."""

    url: str
    front: Front
    simulator: Simulator
    trainings: Trainings
    moto_url: str

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the variables that make this account the user's, with a ledger of its own."""
        return {
            **SECRETS,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(folder / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
            "EMBEDRUN_LEDGER": str(folder / "ledger"),
            "SAGEMAKER_ROLE": ROLE,
        }

    def use(self, monkeypatch: Any, folder: Path) -> None:
        """Set those variables and no others of AWS, and take no second try."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in self.environment(folder).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(aws, "TRIES", 1)

    def client(self, service: str) -> Any:
        """Return a client of moto's for looking behind the scenes."""
        return client(service, self.moto_url)

    def left(self) -> list[str]:
        """Name all that is there, in the simulator and in moto."""
        self.simulator.settle()
        s3, scaling = self.client("s3"), self.client("application-autoscaling")
        buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
        objects, uploads = [], []
        for bucket in buckets:
            objects += [f"s3://{bucket}/{one['Key']}" for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
            uploads += [f"upload {one['Key']}" for one in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]
        targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        scaled = [one["ResourceId"] for one in (*targets, *policies)]
        return [*self.simulator.left(), *self.trainings.left(), *buckets, *objects, *uploads, *scaled]


@functools.cache
def client(service: str, url: str) -> Any:
    """Return a client that is made once, since making one takes long."""
    return boto3.client(
        service, endpoint_url=url, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
    )


def reset(url: str) -> None:
    """Empty moto's account, which outlives its server in this process."""
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=10).close()


@contextlib.contextmanager
def running(launch: Launch) -> Iterator[LoopbackAws]:
    """Start it all; the account has an execution role."""
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    url = f"http://{host}:{port}"
    reset(url)
    client("iam", url).create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
    simulator = Simulator(client("s3", url), client("logs", url), launch)
    trainings = Trainings(client("s3", url), client("logs", url))
    simulator.more = trainings.operations
    front = Front(simulator, (host, port))
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"front": front}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield LoopbackAws(f"http://127.0.0.1:{server.server_port}", front, simulator, trainings, url)
    finally:
        simulator.stop()
        trainings.stop()
        server.shutdown()
        server.server_close()
        moto.stop()
