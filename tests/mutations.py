"""Changes to a file's bytes, as damage, a typing mistake or an attacker makes them; every one follows from its seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

WORDS: Sequence[bytes] = (
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\x1b[2J", "\u202e".encode(), "\U0001f600".encode()),
    *(b'"', b"'", b"{", b"}", b"[", b"]", b",", b":", b": ", b"- ", b"\n", b"\t", b"#", b"&a ", b"*a", b"<<: ", b"? "),
    *(b"!!int ", b"!!float ", b"!!binary ", b"!!python/name:os.system ", b"%YAML 3.0\n", b"---\n", b"..."),
    *(b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"9" * 5000, b"0x" + b"f" * 5000, b"\\ud800"),
    *(b"../../x", b"/etc/hostname", b"~nosuchuser/x", b"a" * 300, b"a/" * 3000, b"[" * 2000, b"<" * 500, b"&#0;"),
)
"""What is put into a file."""
VALUES: Sequence[Any] = (
    *(None, True, -1, 0, 2**70, 0.5, float("nan"), "", "x", "../../x", "/etc/hostname", "a\0b", "\ud800", "a" * 300),
    *([], {}, [1], {"a": 1}, [[]], [None], {"": None}, "\x1b[2J", 10**400, -(2**63)),
)
"""What is put in the place of a JSON value."""


def _flip(content: bytearray, at: int, chance: random.Random) -> None:
    if content:
        content[at % len(content)] ^= 1 << chance.randrange(8)


def _cut(content: bytearray, at: int, chance: random.Random) -> None:
    del content[at : at + chance.choice((1, 2, 8, 64, 10**9))]


def _repeat(content: bytearray, at: int, chance: random.Random) -> None:
    content[at:at] = content[at : at + chance.choice((1, 8, 64, 512))] * chance.choice((1, 2, 20))


def _put(content: bytearray, at: int, chance: random.Random) -> None:
    content[at : at + chance.choice((0, 0, 1, 4))] = chance.choice(WORDS)


def _move(content: bytearray, at: int, chance: random.Random) -> None:
    part = content[at : at + 32]
    del content[at : at + 32]
    where = chance.randrange(len(content) + 1)
    content[where:where] = part


_WAYS: Sequence[Callable[[bytearray, int, random.Random], None]] = (_flip, _cut, _repeat, _put, _put, _move)


def mutated(content: bytes, seed: int) -> bytes:
    """Return a file's content with one to four changes; where it is JSON, every other time of its values."""
    chance = random.Random(seed)
    if chance.random() < 0.5 and (changed := _with_other_values(content, chance)):
        return changed
    result = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice(_WAYS)(result, chance.randrange(len(result) + 1), chance)
    return bytes(result)


def _with_other_values(content: bytes, chance: random.Random) -> bytes | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    for _ in range(chance.choice((1, 1, 2))):
        value = _replaced(value, chance)
    return json.dumps(value).encode()


def _replaced(value: Any, chance: random.Random) -> Any:
    """Return a JSON value of which one part is another, missing or new."""
    if not isinstance(value, (dict, list)) or not value or chance.random() < 0.1:
        return chance.choice(VALUES)
    copy = value.copy()
    key = chance.choice(list(copy)) if isinstance(copy, dict) else chance.randrange(len(copy))
    way = chance.random()
    if way < 0.15:
        del copy[key]
    elif way < 0.25 and isinstance(copy, dict):
        copy[str(chance.choice(VALUES)).encode("utf-8", "replace").decode()] = copy[key]
    else:
        copy[key] = _replaced(copy[key], chance)
    return copy
