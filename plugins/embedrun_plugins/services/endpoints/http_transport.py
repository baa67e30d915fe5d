"""TEI's route `/embed`, as TEI and this project's server answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from embedrun.errors import UserError
from embedrun_plugins.services import deadline
from embedrun_plugins.services.addresses import Address, is_local
from embedrun_plugins.services.credentials import secret
from embedrun_plugins.services.endpoints.transports import Refused, SharedTransport, Unanswered

if TYPE_CHECKING:
    import httpx2

SECONDS = 120.0
_CONNECT_SECONDS = 10.0
_SUCCESS = 200


@dataclass(frozen=True)
class Key:
    """A server's key: given, or in an environment variable and read when it is sent; never shown or written."""

    value: str | None = field(default=None, repr=False)
    variable: str | None = None

    @property
    def named(self) -> str | None:
        """Where it comes from, in messages; None where there is none."""
        return "api_key" if self.value else self.variable

    def headers(self, whose: str) -> dict[str, str]:
        """Return the header that holds it, if there is one.

        Raises UserError, without repeating it, where it is not set or cannot be sent.
        """
        value = self.value or (secret(self.variable, whose) if self.variable else None)
        if value and not (value.isascii() and value.isprintable()):
            raise UserError(f"{whose}: the api_key has line breaks or letters that no key has")
        return {"authorization": f"Bearer {value}"} if value else {}


NO_KEY = Key()


@dataclass(frozen=True)
class HttpTransport(SharedTransport["httpx2.Client"]):
    """A server by its address; no key or token but the one given for it is ever sent, and none along a redirection."""

    url: str
    key: Key = NO_KEY
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "url", TypeAdapter(Address).validate_python(self.url))
        except ValidationError as error:
            reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise UserError(f"the server's address {reason}") from None  # which may hold a password

    @property
    def where(self) -> str:
        return self.url

    def send(self, body: bytes) -> bytes:
        return self.post("/embed", body)

    async def send_async(self, body: bytes) -> bytes:
        import httpx2

        # A client of its own: connections belong to an event loop, and a program may run several one after another.
        async with httpx2.AsyncClient(**self._options) as client:
            with _failures():
                try:
                    async with asyncio.timeout(self.seconds):
                        answer = await client.post(f"{self.url}/embed", content=body, headers=self._headers())
                except TimeoutError as error:
                    raise httpx2.ReadTimeout("the answer does not end") from error
                return _checked(answer)

    def get(self, path: str) -> bytes:
        """Return what a GET answers. Raises as `send` does."""
        with _failures():
            return _checked(self._client.get(f"{self.url}{path}", headers=self.key.headers(self.url)))

    def post(self, path: str, body: bytes) -> bytes:
        """Return what another route answers. Raises as `send` does."""
        with _failures():
            return _checked(self._client.post(f"{self.url}{path}", content=body, headers=self._headers()))

    def _headers(self) -> Mapping[str, str]:
        return {"content-type": "application/json", **self.key.headers(self.url)}

    def _make(self) -> httpx2.Client:
        import httpx2

        def begin(_: httpx2.Request) -> None:
            deadline.begin(self.seconds)

        client = httpx2.Client(**self._options, event_hooks={"request": [begin]})
        deadline.enforce(client)
        return client

    def _end(self, made: httpx2.Client) -> None:
        made.close()

    @cached_property
    def _options(self) -> dict[str, Any]:
        import httpx2

        return {
            "timeout": httpx2.Timeout(self.seconds, connect=_CONNECT_SECONDS),
            "limits": httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            "trust_env": not is_local(self.url),  # no proxy reaches this machine's loopback address
            "verify": httpx2.create_ssl_context() if self.url.startswith("https:") else False,
        }


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what the HTTP client raises into Unanswered, in words that hold no header."""
    import httpx2

    try:
        yield
    except httpx2.TimeoutException as error:
        raise Unanswered("no answer in time", kind="time-out") from error
    except (httpx2.ConnectError, httpx2.ProxyError) as error:
        raise Unanswered(_reason(error), kind="no connection", may_pass=False) from error
    except httpx2.TransportError as error:
        raise Unanswered(f"the connection broke: {_reason(error)}", kind="broken connection") from error


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _checked(response: httpx2.Response) -> bytes:
    if response.status_code != _SUCCESS:
        raise Refused(response.status_code, response.text)
    return response.content
