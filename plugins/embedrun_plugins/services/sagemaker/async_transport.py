"""An asynchronous endpoint: the request is put into S3, and so is its answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field

from embedrun.errors import EmbedrunError
from embedrun_plugins.services.endpoints.transports import Refused, Unanswered
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.s3 import split

_SECONDS = 900.0
_PAUSE = 0.5
_NOT_YET = ("NoSuchKey", "404")


@dataclass(frozen=True)
class AsyncTransport:
    """An endpoint by its name, and the folder in S3 that its requests are put in."""

    endpoint: str
    folder: str
    clients: Clients = field(default_factory=Clients)
    seconds: float = _SECONDS
    """Seconds until an answer is given up."""

    @property
    def where(self) -> str:
        return f"SageMaker endpoint {self.endpoint} (asynchronous)"

    def send(self, body: bytes) -> bytes:
        bucket, key = split(f"{self.folder}/input/{uuid.uuid4()}.json")
        try:
            self.clients.call("s3", "put_object", Bucket=bucket, Key=key, Body=body, ContentType="application/json")
            queued = self.clients.call(
                "sagemaker-runtime",
                "invoke_endpoint_async",
                EndpointName=self.endpoint,
                InputLocation=f"s3://{bucket}/{key}",
                ContentType="application/json",
                Accept="application/json",
            )
            return self._awaited(queued["OutputLocation"], queued.get("FailureLocation"))
        except EmbedrunError as error:
            raise Unanswered(str(error), may_pass=False) from error
        finally:
            self._remove(f"s3://{bucket}/{key}")

    async def send_async(self, body: bytes) -> bytes:
        return await asyncio.to_thread(self.send, body)

    def close(self) -> None:
        """Keep what others may share."""

    def _awaited(self, answer: str, failure: str | None) -> bytes:
        deadline = time.monotonic() + self.seconds
        while time.monotonic() < deadline:
            if (body := self._read(answer)) is not None:
                return body
            if failure and (reason := self._read(failure)) is not None:
                raise Refused(400, reason.decode("utf-8", "replace"))
            time.sleep(_PAUSE)
        raise Unanswered(f"no answer in {self.seconds:g} s", kind="time-out")

    def _read(self, uri: str) -> bytes | None:
        bucket, key = split(uri)
        stored = self.clients.find("s3", "get_object", _NOT_YET, Bucket=bucket, Key=key)
        if stored is None:
            return None
        body = bytes(stored["Body"].read())
        self._remove(uri)
        return body

    def _remove(self, uri: str) -> None:
        """Remove an object; what stays is no reason to lose an answer, and goes with the deployment."""
        bucket, key = split(uri)
        with suppress(EmbedrunError):
            self.clients.call("s3", "delete_object", Bucket=bucket, Key=key)
