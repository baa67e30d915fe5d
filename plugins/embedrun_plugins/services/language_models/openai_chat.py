"""Requests and replies in the format of OpenAI's chat completions."""

from __future__ import annotations

import re
from typing import Any

from embedrun.errors import StageError
from embedrun_plugins.services.credentials import redacted
from embedrun_plugins.services.language_models.llm_service import Reply, Request, Stop, usage_of, well_formed
from embedrun_plugins.services.openai import OPENAI, explained, is_openai, message_of

SCHEMA = {
    "type": "object",
    "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
    "required": ["questions"],
    "additionalProperties": False,
}
"""What a structured reply must look like."""
_ABOUT_THE_PASSAGE = re.compile(
    r"content.?(?:filter|policy|management)|context.?length|maximum context|too (?:long|many tokens)"
    r"|exceeds? (?:the )?(?:available |maximum )?context|`inputs`.{0,30} must",
    re.IGNORECASE,
)


class Chat:
    """A connected server."""

    def __init__(self, client: Any, base_url: str | None) -> None:
        self.client, self.base_url = client, base_url

    def ask(self, request: Request) -> Reply:
        import openai

        with explained(self.base_url, model=request["model"], models=self.client.models):
            try:
                answer = self.client.chat.completions.create(**self._body(request))
            except (ValueError, RecursionError) as error:  # also what is no UTF-8, or nested too deeply
                raise StageError(f"{self.base_url or OPENAI}: the answer is broken JSON: {error}") from error
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if _ABOUT_THE_PASSAGE.search(f"{error.code} {message_of(error)}"):
                    return Reply(message_of(error), "declined")
                raise
        return self._reply(answer, request)

    def _body(self, request: Request) -> dict[str, Any]:
        parameters = dict(request["parameters"])
        extra = parameters.pop("extra", None)
        if is_openai(self.base_url):  # whose newer models no longer take the name that all others take
            parameters["max_completion_tokens"] = parameters.pop("max_tokens")
        if parameters.pop("structured_output", False):
            schema = {"name": "questions", "schema": SCHEMA, "strict": True}
            parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
        messages = [{"role": "user", "content": request["prompt"]}]
        if request["system"]:
            messages.insert(0, {"role": "system", "content": request["system"]})
        return {"model": request["model"], "messages": messages, "extra_body": extra, **parameters}

    def _reply(self, answer: Any, request: Request) -> Reply:
        choices = getattr(answer, "choices", None)
        if not choices or getattr(choices[0], "message", None) is None:
            raise StageError(
                f"{self.base_url or OPENAI}: what answers there sends no chat completion; base_url mostly ends in /v1"
            )
        message, reason = choices[0].message, choices[0].finish_reason
        text = message.content or getattr(message, "refusal", None) or ""
        if not isinstance(text, str):
            raise StageError(f"{self.base_url or OPENAI}: the reply is no text: {redacted(repr(text))[:80]}")
        text = redacted(well_formed(text))
        stops: dict[str, Stop] = {"length": "length", "content_filter": "declined"}
        stop = stops.get(reason, "end")
        usage = answer.usage
        read, written = usage_of(
            request, text, getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
        )
        return Reply(text if stop != "declined" else reason, stop, read, written)
