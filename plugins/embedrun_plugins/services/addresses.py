"""Addresses of servers: how a recipe may write them, which are of this machine, and where a key may go."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_LISTENING_ON = {"//0.0.0.0": "//127.0.0.1", "//[::]": "//[::1]"}


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


def reachable(url: str) -> str:
    """Return the address to ask a server of this machine at, where it listens on all of them."""
    for listening, loopback in _LISTENING_ON.items():
        url = url.replace(listening, loopback)
    return url


Address = Annotated[str, AfterValidator(_address)]
"""A server's address, without a slash at its end."""
