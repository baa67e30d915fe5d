"""Taking a port, without importing what serves on it."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address

from embedrun.errors import UserError

BACKLOG = 2048
"""Connections that wait to be accepted."""


def listen(host: str, port: int) -> socket.socket:
    """Listen at once, so that a taken port is known before a model is loaded; clients wait in the meantime.

    Raises UserError where the address is taken or not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise UserError(f"cannot listen on {host}: {error.strerror}") from None
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        advice = "choose another port, or 0 for one that is free"
        raise UserError(f"cannot listen on {host}:{port}: {reason}; {advice}") from None
    # Connections inherit it. asyncio sets it for sockets made in another way only, and without it an answer's body
    # waits until the client acknowledges its header, which takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
