"""Waiting for an endpoint, and why it does not come up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from embedrun.errors import EmbedrunError, StageError
from embedrun_plugins.services.foreign_output import shown
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.resources import BUSY, await_change, describe

_LINES = 15


def in_service(
    clients: Clients, name: str, config: str, seconds: float, on_state: Callable[[str, float], None]
) -> None:
    """Wait until an endpoint serves a configuration.

    Raises StageError with SageMaker's reason and the container's last words where it does not, or takes too long.
    """
    endpoint = await_change(
        lambda: describe(clients, name),
        "EndpointStatus",
        BUSY,
        what=f"endpoint {name}",
        seconds=seconds,
        setting="timeout",
        tell=on_state,
    )
    if endpoint is None:
        raise StageError(f"endpoint {name}: was deleted by somebody else while it was made")
    if endpoint["EndpointStatus"] != "InService" or endpoint["EndpointConfigName"] != config:
        raise StageError(f"endpoint {name}: {_reason(endpoint)}{last_words(clients, name)}")


def _reason(endpoint: dict[str, Any]) -> str:
    reason = shown(str(endpoint.get("FailureReason") or "SageMaker gives no reason")).strip()
    if endpoint["EndpointStatus"] == "InService":
        return f"could not be changed, and continues to serve what it served before: {reason}"
    return f"is {endpoint['EndpointStatus']}: {reason}"


def last_words(clients: Clients, name: str) -> str:
    """Return the container's last lines from CloudWatch, if there are any that may be read."""
    group = f"/aws/sagemaker/Endpoints/{name}"
    try:
        streams = clients.call(
            "logs", "describe_log_streams", logGroupName=group, orderBy="LastEventTime", descending=True, limit=1
        )["logStreams"]
        events = [
            event
            for stream in streams
            for event in clients.call(
                "logs",
                "get_log_events",
                logGroupName=group,
                logStreamName=stream["logStreamName"],
                limit=_LINES,
                startFromHead=False,
            )["events"]
        ]
    except EmbedrunError:
        return ""  # the reason is said already, and who may not read logs may still deploy
    lines = "\n".join(f"  {shown(str(event['message'])).rstrip()}" for event in events)
    return f"\nits container's last lines:\n{lines}" if lines else ""
