"""A SageMaker endpoint, asked through `invoke_endpoint` with AWS's own credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from embedrun.errors import MissingPackageError
from embedrun_plugins.services import aws
from embedrun_plugins.services.endpoints.transports import OVERLOADED, Refused, SharedTransport, Unanswered

CONNECTIONS = 1024
"""Requests that may be under way at once."""
SECONDS = 70.0
"""SageMaker gives a container 60 s to answer."""
_NOT_ALLOWED = (401, 403)


@dataclass(frozen=True)
class SageMakerTransport(SharedTransport[Any]):
    """An endpoint by its name; where it is comes from the region, as boto3 finds it where none is given."""

    endpoint: str
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    """Another address than AWS's for the runtime's API."""
    component: str | None = None
    """Inference component, if the endpoint has some."""
    seconds: float = SECONDS

    @property
    def where(self) -> str:
        return f"SageMaker endpoint {self.endpoint}"

    def send(self, body: bytes) -> bytes:
        """Send once. Raises UserError, too, where AWS's settings, credentials or rights must change first."""
        client = self._client
        part = {"InferenceComponentName": self.component} if self.component else {}
        with aws.explained(self.where), _failures():
            answer = client.invoke_endpoint(
                EndpointName=self.endpoint, ContentType="application/json", Accept="application/json", Body=body, **part
            )
            return bytes(answer["Body"].read())

    def _make(self) -> Any:
        try:
            return aws.client(
                "sagemaker-runtime",
                region=self.region,
                endpoint_url=self.endpoint_url,
                profile=self.profile,
                connections=CONNECTIONS,
                read_seconds=self.seconds,
                tries=1,  # whoever asks tries again, and says so; a measurement must not have retries hidden in it
            )
        except ImportError as error:
            raise MissingPackageError(self.where, "boto3", "sagemaker") from error

    def _end(self, made: Any) -> None:
        made.close()


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what comes of one request into Refused or Unanswered, and leave to `aws` what is wrong with its settings."""
    from botocore import exceptions as known

    try:
        yield
    except known.ClientError as error:
        refused = _refused(error)
        if refused.status in _NOT_ALLOWED and not _original(error):
            raise
        raise refused from error
    except (known.ConnectTimeoutError, known.ReadTimeoutError) as error:
        raise Unanswered("no answer in time", kind="time-out") from error
    except known.ConnectionError as error:
        raise Unanswered(str(error).rstrip("."), kind="no connection", may_pass=False) from error
    except (known.HTTPClientError, known.IncompleteReadError) as error:
        reason = str(error).rstrip(".")
        raise Unanswered(f"the connection broke: {reason}", kind="broken connection") from error


def _original(error: Any) -> int | None:
    """Return the status that the container answered with, if it was the container."""
    status = error.response.get("OriginalStatusCode")
    return int(status) if status else None


def _refused(error: Any) -> Refused:
    """Return the status that the container answered with, where it did, else AWS's own."""
    details = error.response.get("Error", {})
    code, message = str(details.get("Code") or ""), str(details.get("Message") or "")
    if original := _original(error):
        return Refused(original, str(error.response.get("OriginalMessage") or message))
    if code in aws.THROTTLED:
        return Refused(OVERLOADED, message or code)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 500)
    return Refused(status, f"{code}: {message}")
