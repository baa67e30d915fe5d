"""A SageMaker endpoint, asked through `invoke_endpoint` with AWS's own credentials."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from embedrun.errors import MissingPackageError
from embedrun_plugins.clients.transports import MAKING, OVERLOADED, Refused, Unanswered, settings_of

CONNECTIONS = 1024
"""Requests that may be under way at once."""
_SECONDS = 70.0
"""SageMaker gives a container 60 s to answer."""
_THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})


@dataclass(frozen=True)
class SageMaker:
    """An endpoint by its name; where it is comes from the region, as boto3 finds it where none is given."""

    endpoint: str
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    """Another address than AWS's for the runtime's API."""
    component: str | None = None
    """Inference component, if the endpoint has some."""

    @property
    def where(self) -> str:
        return f"SageMaker endpoint {self.endpoint}"

    def send(self, body: bytes) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

        part = {"InferenceComponentName": self.component} if self.component else {}
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=self.endpoint, ContentType="application/json", Accept="application/json", Body=body, **part
            )
            return bytes(answer["Body"].read())
        except ClientError as error:
            raise _refused(error) from error
        except (ConnectTimeoutError, ReadTimeoutError) as error:
            raise Unanswered("no answer in time", kind="time-out") from error
        except BotoCoreError as error:
            raise Unanswered(str(error).rstrip("."), may_pass=False) from error

    async def send_async(self, body: bytes) -> bytes:
        return await asyncio.to_thread(self.send, body)

    def close(self) -> None:
        if made := self.__dict__.pop("_made", None):
            made.close()

    def __getstate__(self) -> dict[str, Any]:
        return settings_of(self)

    @property
    def _client(self) -> Any:
        with MAKING:
            return self._made

    @cached_property
    def _made(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise MissingPackageError(self.where, "boto3", "sagemaker") from error
        session = boto3.Session(profile_name=self.profile, region_name=self.region)
        config = Config(
            # Whoever asks tries again, and says so; a measurement must not have retries hidden in it.
            retries={"total_max_attempts": 1, "mode": "standard"},
            read_timeout=_SECONDS,
            max_pool_connections=CONNECTIONS,
        )
        return session.client("sagemaker-runtime", endpoint_url=self.endpoint_url, config=config)


def _refused(error: Any) -> Refused:
    """Return the status that the container answered with, where it did, else AWS's own."""
    said = error.response.get("Error", {})
    code, message = str(said.get("Code") or ""), str(said.get("Message") or "")
    original = error.response.get("OriginalStatusCode")
    if original:
        return Refused(int(original), str(error.response.get("OriginalMessage") or message))
    if code in _THROTTLED:
        return Refused(OVERLOADED, message or code)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 500)
    return Refused(status, f"{code}: {message}")
