"""Requests and replies in the format of Bedrock's Converse API, alone or as records of a batch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from embedrun.errors import StageError
from embedrun_plugins.services import attempts, aws
from embedrun_plugins.services.language_models.llm_service import Reply, Request, Stop, usage_of, well_formed

_ABOUT_THE_PASSAGE = re.compile(
    r"too long|too many (?:input )?tokens|context length|content filter|blocked by", re.IGNORECASE
)
_STOPS: Mapping[str, Stop] = {
    "max_tokens": "length",
    "content_filtered": "declined",
    "guardrail_intervened": "declined",
    "model_context_window_exceeded": "declined",
}


class Converse:
    """A connected Converse API."""

    def __init__(self, client: Any) -> None:
        self.client = client
        client.meta.events.register("before-send.bedrock-runtime", _sending)
        client.meta.events.register("response-received.bedrock-runtime", _answered)

    def ask(self, request: Request) -> Reply:
        try:
            with aws.explained("bedrock", model=request["model"]):
                answer = self.client.converse(modelId=request["model"], **body_of(request))
        except StageError as error:
            if aws.error_code(error) == "ValidationException" and concerns_passage(str(error)):
                return Reply(str(error), "declined")
            raise
        return reply_of(answer, request)


def _sending(**_: Any) -> None:
    attempts.sending()


def _answered(response_dict: Mapping[str, Any] | None = None, exception: Exception | None = None, **_: Any) -> None:
    from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError

    if response_dict:
        attempts.answered(response_dict["status_code"])
    elif isinstance(exception, (EndpointConnectionError, ConnectTimeoutError)):
        attempts.unsent()


def concerns_passage(message: str) -> bool:
    """Say whether an error is about what was sent: too long, or blocked by a filter."""
    return bool(_ABOUT_THE_PASSAGE.search(message))


def body_of(request: Request) -> dict[str, Any]:
    """Return a request's body."""
    parameters = request["parameters"]
    names = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP"}
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": [{"text": request["prompt"]}]}],
        "inferenceConfig": {wire: parameters[name] for name, wire in names.items() if name in parameters},
    }
    if request["system"]:
        body["system"] = [{"text": request["system"]}]
    if "extra" in parameters:
        body["additionalModelRequestFields"] = parameters["extra"]
    return body


def reply_of(answer: Mapping[str, Any], request: Request) -> Reply:
    """Read an answer's body. Raises StageError where it is none."""
    content = ((answer.get("output") or {}).get("message") or {}).get("content")
    if content is None:
        raise StageError("bedrock: the answer holds no message")
    reason = str(answer.get("stopReason") or "")
    text = well_formed("".join(part.get("text") or "" for part in content))
    usage = answer.get("usage") or {}
    stop = _STOPS.get(reason, "end")
    read, written = usage_of(request, text, usage.get("inputTokens"), usage.get("outputTokens"))
    return Reply(text if stop != "declined" else reason, stop, read, written)
