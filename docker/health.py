"""Whether a container is well: if it serves a model, the server must answer; if it does anything else, it is.

It is started every few seconds, beside a training run too, so it imports next to nothing.
"""

import os
import socket
import sys

SECONDS = 4
REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing is bound here


def served() -> list[str] | None:
    """Return the words after `embedrun serve` of this container's server, or None where there is none."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/cmdline", encoding="utf-8", errors="replace") as file:
                words = file.read().split("\0")[:-1]
        except OSError:
            continue  # it ended
        for at, word in enumerate(words[:-1]):
            if os.path.basename(word) == "embedrun" and words[at + 1] == "serve":
                return words[at + 2 :]
    return None


def value(words: list[str], name: str, default: str) -> str:
    """Return an option's value, be it `--port 80` or `--port=80`."""
    for at, word in enumerate(words):
        if word == name and at + 1 < len(words):
            return words[at + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return default


def answers(host: str, port: int) -> bool:
    """Say whether a server's /ping answers with 200."""
    with socket.create_connection((host, port), timeout=SECONDS) as connection:
        connection.sendall(f"GET /ping HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(64).split(b" ")[1:2] == [b"200"]


def main() -> int:
    words = served()
    if words is None:
        return 0
    host, port = value(words, "--host", "127.0.0.1"), int(value(words, "--port", "8080"))
    if port == 0:
        return 0  # it picked one that nobody outside can know either
    try:
        return 0 if answers(REACHED.get(host, host), port) else 1
    except OSError as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
