"""Clients of servers that speak OpenAI's API, and what their errors mean."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from embedrun.errors import EmbedrunError, StageError, UserError, suggest
from embedrun_plugins.services import attempts, deadline
from embedrun_plugins.services.credentials import redacted, secret

OPENAI = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"
TRIES = 6
"""How often one request is sent, the first time included, before its failure counts."""
_SECONDS = 300.0
_BAD_REQUEST = 400
_NO_KEY = "none"
"""What is sent as the key to servers that need none: the client insists on one."""


def client(base_url: str | None = None, *, api_key_env: str | None = None) -> Any:
    """Return an openai client that retries and that threads may share.

    The key is OPENAI_API_KEY's for OpenAI itself only; other servers get a key only from a variable that is named.
    No redirection is followed, since the texts would go along to wherever it leads. Raises UserError where the
    variable is not set.
    """
    import openai

    variable = key_variable(base_url, api_key_env)
    key = secret(variable, base_url or OPENAI) if variable else _NO_KEY
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [_begin], "response": [_arrive]}
    transport = openai.DefaultHttpxClient(follow_redirects=False, event_hooks=hooks)
    deadline.enforce(transport)
    opened = openai.OpenAI(
        api_key=key,
        base_url=base_url or OPENAI,
        max_retries=TRIES - 1,
        timeout=_SECONDS,
        default_headers={} if is_openai(base_url) else _only(key),
        http_client=transport,
    )
    weakref.finalize(opened, transport.close)  # the client closes only a transport of its own making
    return opened


def _begin(request: Any) -> None:
    attempts.sending()
    deadline.begin(_SECONDS)
    request.extensions["trace"] = _trace


def _trace(event: str, _: Mapping[str, Any]) -> None:
    if event in ("connection.connect_tcp.failed", "connection.start_tls.failed"):
        attempts.unsent()


def _arrive(response: Any) -> None:
    if not attempts.answered(response.status_code) and response.is_error:
        response.headers["x-should-retry"] = "false"  # which the client obeys


def key_variable(base_url: str | None, named: str | None) -> str | None:
    """Return the variable that holds a server's key, if it wants one: OpenAI's own is given to OpenAI only."""
    return named or (OPENAI_KEY if is_openai(base_url) else None)


def _only(key: str) -> Any:
    """Return headers that keep back what the client would take from the environment and send to any server."""
    import openai

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    named = [name.strip() for name, colon, _ in (line.partition(":") for line in lines) if colon]
    kept_back = dict.fromkeys((*named, "OpenAI-Organization", "OpenAI-Project"), openai.Omit())
    return {**kept_back, "Authorization": f"Bearer {key}"}


def is_openai(base_url: str | None) -> bool:
    """Say whether an address is OpenAI's own."""
    parts = urlsplit(base_url or OPENAI)
    return parts.scheme == "https" and f".{parts.hostname}".endswith(f".{urlsplit(OPENAI).hostname}")


def too_much(base_url: str) -> str | None:
    """Say so where an address holds a path that the client adds itself."""
    path = urlsplit(base_url).path.rstrip("/")
    if path.endswith(("/completions", "/chat", "/embeddings", "/models")):
        return f"base_url: ends in '{path}'; leave out what comes after /v1, which the client adds itself"
    return None


@contextmanager
def explained(base_url: str | None, *, model: str, models: Any = None) -> Iterator[None]:
    """Turn what openai raises into an error for the user, saying what to do.

    Raises UserError where no request can succeed before something is changed: the key, the model, the address, the
    account's balance. Raises StageError where it may: throttled, timed out, broken off, a failure of the server.
    `models` is the client's own list of them, asked when the model is not known.
    """
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        raise _answered(base_url or OPENAI, model, models, error) from error
    except openai.APITimeoutError as error:
        raise StageError(f"{base_url or OPENAI}: no whole answer within {_SECONDS:g} s") from error
    except openai.APIConnectionError as error:
        raise _unanswered(base_url or OPENAI, error) from error
    except openai.OpenAIError as error:
        raise StageError(f"{base_url or OPENAI}: {redacted(str(error))}") from error


def _answered(server: str, model: str, models: Any, error: Any) -> EmbedrunError:
    """Explain an error that the server answered with."""
    message = message_of(error)
    match error.status_code:
        case status if status < _BAD_REQUEST:
            target = redacted(str(error.response.headers.get("location")))
            text = f"leads to {target}; if that is right, give it as base_url"
        case 401:
            text = f"the key is not accepted: {message}; 'api_key_env' names the variable that holds it"
        case 403:
            text = f"access denied: {message}; may this key use '{model}'?"
        case 404 if "model" in message.lower():
            text = f"cannot call the model '{model}': {message}{_known(model, models)}"
        case 404:
            text = f"there is no such path: {message}; base_url mostly ends in /v1"
        case 429 if error.code == "insufficient_quota":
            text = f"the account has no credit left: {message}; answers so far are kept"
        case 429:
            return StageError(
                f"{server}: throttled, even after {TRIES} tries with growing pauses ({message}); lower 'concurrency'; "
                "answers so far are kept"
            )
        case status:
            return StageError(f"{server}: answered {status}: {message}")
    return UserError(f"{server}: {text}")


def message_of(error: Any) -> str:
    """Return what a server said, whatever the layout of its errors."""
    body = error.body if isinstance(error.body, dict) else {}
    text = body.get("message") or body.get("detail") or body.get("error") or error.message
    return redacted(str(text)).strip().rstrip(".")[:500]


def _unanswered(server: str, error: Any) -> EmbedrunError:
    """Explain a connection that was not made, or that broke."""
    cause = error.__cause__
    if "Connect" in type(cause).__name__:
        return UserError(f"{server}: nothing answers there ({cause}); is the server running, and is base_url right?")
    return StageError(f"{server}: the connection broke: {cause or error}")


def _known(model: str, models: Any) -> str:
    """Name the models that the server has, as far as it says."""
    import openai

    try:
        return suggest(model, [redacted(str(entry.id)) for entry in models.list()]) if models else ""
    except (openai.OpenAIError, AttributeError, TypeError):
        return ""
