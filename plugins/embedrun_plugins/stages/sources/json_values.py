"""Reading the values of JSON and JSON lines files, with the lines on which they stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.opened_files import lines, whole_text


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the value on each line that is not blank, with the line's number."""
    for number, line in lines(path):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}:{error.colno}: not JSON: {error.msg}") from error
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: not usable JSON: {error}") from error


def json_objects(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the objects of a list, of the list that a lone object holds, or of a sequence, with their lines."""
    text = whole_text(path)
    values = _sequence(path, text, text.lstrip()[:1] == "[")
    first = list(islice(values, 2))
    held = [v for v in first[0][1].values() if _is_rows(v)] if len(first) == 1 and isinstance(first[0][1], dict) else []
    if len(held) == 1:
        yield from ((first[0][0], row) for row in held[0])
    else:
        yield from first
        yield from values


def json_value(path: Path) -> Any:
    """Return the one value of a JSON file; raises DataError, with line and column, where it is none."""
    try:
        return json.loads(whole_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not usable JSON: {error}") from error


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _sequence(path: Path, text: str, listed: bool) -> Iterator[tuple[int, Any]]:
    """Parse one value after the other, so that only the text and one row are held."""
    decoder = json.JSONDecoder()
    position = line_start = _skip(text, 0)
    line = 1 + text.count("\n", 0, position)
    if listed:
        position = _skip(text, position + 1)
    while position < len(text) and not (listed and text[position] == "]"):
        line += text.count("\n", line_start, position)
        line_start = position
        try:
            value, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{line}: not usable JSON: {error}") from error
        yield line, value
        position = _separated(path, text, _skip(text, end)) if listed else _skip(text, end)
    if listed and _skip(text, position + 1) < len(text):
        raise _misplaced(path, text, _skip(text, position + 1), "more text after the list's end")
    if listed and position >= len(text):
        raise _misplaced(path, text, len(text), "the list is not closed; is the file cut off?")


def _separated(path: Path, text: str, position: int) -> int:
    """Step over the comma between a list's items; raises DataError where there is none."""
    if position >= len(text) or text[position] == "]":
        return position
    if text[position] != ",":
        raise _misplaced(path, text, position, "expecting ',' between two rows")
    following = _skip(text, position + 1)
    if text[following : following + 1] == "]":
        raise _misplaced(path, text, position, "a comma before the list's end")
    return following


def _misplaced(path: Path, text: str, position: int, what: str) -> DataError:
    error = json.JSONDecodeError(what, text, min(position, len(text)))
    return DataError(f"{path}:{error.lineno}:{error.colno}: not JSON: {what}")


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position
