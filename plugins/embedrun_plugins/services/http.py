"""JSON over HTTP to a server that the recipe names: retried, and never with a key that is not meant for it."""

from __future__ import annotations

import http.client
import ipaddress
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib import error as errors
from urllib import request as requests
from urllib.parse import urlsplit

from pydantic import AfterValidator

from embedrun.errors import StageError, UserError
from embedrun_plugins.services.credentials import secret

TRIES = 6
"""How often a request is sent, the first time included, before its failure counts."""
FIRST_PAUSE = 0.5
"""Seconds before the second try; they double with each."""
_LONGEST_PAUSE = 30.0
_SECONDS = 120.0
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
_SAID = 300
"""Characters of a server's own words that an error repeats."""


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address that starts with http:// or https://")
    try:
        parts.port  # noqa: B018  # reading it checks it
    except ValueError:
        raise ValueError("must have a port from 0 to 65535") from None
    if parts.username or parts.password:
        raise ValueError("must hold no user or password; name the variable with the key in api_key_env")
    if parts.query or parts.fragment:
        raise ValueError("must end before any ? or #")
    return url.rstrip("/")


def sends_in_the_open(url: str, key_env: str | None) -> str | None:
    """Say so where a key would cross the network unencrypted."""
    if key_env is None or urlsplit(url).scheme == "https" or is_local(url):
        return None
    return f"{url} is not encrypted, and the key in {key_env} goes there; use https:// where the network is not yours"


def is_local(url: str | None) -> bool:
    """Say whether an address is on this machine."""
    host = urlsplit(url or "").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Address = Annotated[str, AfterValidator(_address)]
"""A server's address, without a slash at its end."""


class Refused(Exception):  # noqa: N818  # whoever asked says what it means
    """A server's answer that is no success, once trying again is of no use."""

    def __init__(self, status: int, body: str) -> None:
        self.status, self.said = status, _words(body)
        super().__init__(f"{status}: {self.said}")


class _Staying(requests.HTTPRedirectHandler):
    """Follows no redirection, since the key would go along to wherever it leads."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Server:
    """A server, what it is called in errors, and the variable that holds its key, if it wants one."""

    name: str
    url: str
    key_env: str | None = None

    def get(self, path: str) -> Any:
        """Return what a GET answers, as JSON. Raises as `post` does."""
        return self._sent(path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return what a POST answers, as JSON; tries again where that may help.

        Raises Refused with the status where it answers with an error, UserError where it cannot be reached or its key
        is not set, StageError where it breaks off or answers no JSON.
        """
        return self._sent(path, json.dumps(body).encode())

    def key(self) -> str | None:
        """Return the key. Raises UserError where its variable is not set."""
        return secret(self.key_env, self.name) if self.key_env else None

    def _sent(self, path: str, body: bytes | None) -> Any:
        key = self.key()
        headers = {"content-type": "application/json", "accept": "application/json"}
        asked = requests.Request(f"{self.url}{path}", body, headers)  # noqa: S310  # http or https: see _address
        if key:
            asked.add_unredirected_header("authorization", f"Bearer {key}")
        for number in range(1, TRIES + 1):
            try:
                return self._answer(asked)
            except Refused as refused:
                if refused.status not in _MAY_PASS or number == TRIES:
                    raise
            except StageError:
                if number == TRIES:
                    raise
            time.sleep(_pause(number))
        raise AssertionError("the last try returns or raises")

    def _answer(self, asked: requests.Request) -> Any:
        opener = requests.build_opener(_Staying)
        try:
            with opener.open(asked, timeout=_SECONDS) as answer:
                return json.loads(answer.read())
        except errors.HTTPError as error:
            with error:
                raise Refused(error.code, _read(error)) from error
        except errors.URLError as error:
            raise self._unreached(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise StageError(f"{self.name}: {self.url} broke off: {_reason(error)}") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise StageError(f"{self.name}: {self.url} answers no JSON: is it such a server?") from error

    def _unreached(self, error: errors.URLError) -> UserError | StageError:
        reason = error.reason
        if isinstance(reason, (TimeoutError, ConnectionResetError, BrokenPipeError)):
            return StageError(f"{self.name}: {self.url} broke off: {_reason(reason)}")
        said = reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
        return UserError(
            f"{self.name}: nothing answers at {self.url} ({said}); is it running, and is the address right?"
        )


def _pause(number: int) -> float:
    """Return seconds to wait after a try that failed, spread so that threads do not come back all at once."""
    return min(FIRST_PAUSE * 2.0 ** (number - 1), _LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret


def _read(error: errors.HTTPError) -> str:
    try:
        return error.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""


def _words(body: str) -> str:
    """Return what a server says is wrong: TEI's {error}, another's {message}, or the text itself."""
    try:
        found = json.loads(body)
    except json.JSONDecodeError:
        found = body
    if isinstance(found, dict):
        found = found.get("error") or found.get("message") or found.get("detail") or found
    return " ".join(str(found).split())[:_SAID].rstrip(".") or "no reason given"


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
