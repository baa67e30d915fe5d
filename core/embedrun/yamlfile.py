"""YAML with positions: what a recipe says, and where it says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from embedrun.errors import Problem, RecipeError, UserError

KeyPath = tuple[str | int, ...]
Mark = tuple[int, int]

_MAX_NODES = 100_000
_MAX_DEPTH = 50
_NUMBERS: Mapping[str, Callable[[Any], Any]] = {"bool": bool, "int": int, "float": float}


@dataclass
class YamlFile:
    """A YAML file's plain data, with line and column (from 1) of every key and value."""

    name: str
    data: Any
    keys: dict[KeyPath, Mark] = field(default_factory=dict)
    values: dict[KeyPath, Mark] = field(default_factory=dict)
    overridden: dict[KeyPath, str] = field(default_factory=dict)

    def locate(self, problem: Problem) -> str:
        """Put a problem into one line: `file:line:column: path: message`."""
        dotted = ".".join(str(part) for part in problem.path)
        text = f"{dotted}: {problem.message}" if dotted else problem.message
        if override := self._override(problem.path):
            return f"--set {override}: {text}"
        for end in range(len(problem.path), -1, -1):
            path = problem.path[:end]
            mark = self._mark(path, exact=end == len(problem.path), at_key=problem.at_key)
            if mark:
                return f"{self.name}:{mark[0]}:{mark[1]}: {text}"
        return f"{self.name}: {text}"

    def _override(self, path: KeyPath) -> str | None:
        """Find the `--set` that put a value here, chose the stage here, or made this place at all."""
        for end in range(len(path), 0, -1):
            if dotted := self.overridden.get(path[:end]):
                return dotted
        if dotted := self.overridden.get((*path, "type")):
            return dotted
        below = [text for changed, text in self.overridden.items() if changed[: len(path)] == path]
        return below[0] if path and below and path not in self.values else None

    def _mark(self, path: KeyPath, *, exact: bool, at_key: bool) -> Mark | None:
        # A single stage may stand where a list of stages is meant: evaluator.0.k is then evaluator.k in the file.
        for candidate in (path, tuple(p for i, p in enumerate(path) if not (i == 1 and isinstance(p, int)))):
            first, second = (self.keys, self.values) if at_key or not exact else (self.values, self.keys)
            if mark := first.get(candidate) or second.get(candidate):
                return mark
        return None

    def error(self, problems: Sequence[Problem]) -> RecipeError:
        return RecipeError([self.locate(problem) for problem in problems])


def read(path: Path) -> YamlFile:
    """Read a recipe file.

    Raises UserError where it cannot be read, RecipeError where it is not YAML 1.2 with a mapping on top.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file{near(path)}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder; a recipe is a YAML file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save the recipe as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(text, str(path))


def near(path: Path) -> str:
    """Return `; did you mean '…'?` where a file of a similar name lies in the same folder."""
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, names, n=1)
    return f"; did you mean '{path.parent / close[0]}'?" if close else ""


def parse(text: str, name: str) -> YamlFile:
    """Parse YAML 1.2 (`2e-5` is a number, `no` a string) and refuse duplicate keys."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    # The round-trip loader takes half as long again, and marks the folds of a folded text in it.
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except RecursionError as error:
        raise RecipeError([f"{name}: nested too deeply"]) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise RecipeError([f"{where}: not YAML: {_first_line(error.problem or error.context)}"]) from error
    except YAMLError as error:
        raise RecipeError([f"{name}: not YAML: {_first_line(str(error))}"]) from error
    document = YamlFile(name, {})
    if node is None:
        raise RecipeError([f"{name}: empty; a recipe is a mapping with at least 'model'"])
    document.data = _Reader(document, yaml).read(node, ())
    if not isinstance(document.data, dict):
        noun = "list" if isinstance(document.data, list) else "single value"
        raise RecipeError([f"{name}:1:1: a recipe is a mapping of keys to values, this is a {noun}"])
    return document


def _first_line(text: str | None) -> str:
    return (text or "cannot be parsed").strip().splitlines()[0]


class _Reader:
    """Turns YAML nodes into plain data, noting positions."""

    def __init__(self, document: YamlFile, yaml: Any) -> None:
        self.document = document
        self.constructor = yaml.constructor
        self.nodes = 0

    def read(self, node: Any, path: KeyPath) -> Any:
        self.nodes += 1
        if len(path) > _MAX_DEPTH:
            raise self._error(node, path[:4], "nested too deeply")
        if self.nodes > _MAX_NODES:
            raise self._error(node, path, "the recipe has more than 100,000 values; put data into a file")
        self.document.values.setdefault(path, _mark_of(node))
        kind = type(node).__name__
        if kind == "MappingNode":
            return self._mapping(node, path)
        if kind == "SequenceNode":
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: Any, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if type(key_node).__name__ != "ScalarNode":
                raise self._error(key_node, path, "a key must be a word")
            key = self._text(key_node, path)
            key_path = (*path, key)
            if key in mapping:
                first = self.document.keys[key_path][0]
                raise self._error(key_node, key_path, f"given twice; first in line {first}")
            self.document.keys[key_path] = _mark_of(key_node)
            mapping[key] = self.read(value_node, key_path)
        return mapping

    def _scalar(self, node: Any, path: KeyPath) -> Any:
        tag = str(node.tag).rsplit(":", 1)[-1]
        match tag:
            case "null":
                return None
            case "bool" | "int" | "float":
                return self._number(node, path, tag)
            case "str" | "timestamp":
                return self._text(node, path)
        raise self._error(node, path, f"the tag '{node.tag}' is not allowed in a recipe")

    def _number(self, node: Any, path: KeyPath, tag: str) -> Any:
        try:
            number = _NUMBERS[tag](getattr(self.constructor, f"construct_yaml_{tag}")(node))
            float(number)  # one of more than 308 digits overflows here, and not when it is used or shown
        except (ValueError, OverflowError, LookupError) as error:  # the library looks into an empty text, and a table
            raise self._error(node, path, f"{str(node.value)[:60]!r} is not a valid {tag}") from error
        return number

    def _text(self, node: Any, path: KeyPath) -> str:
        try:
            return whole_text(str(node.value))
        except ValueError as error:
            raise self._error(node, path, str(error)) from error

    def _error(self, node: Any, path: KeyPath, message: str) -> RecipeError:
        line, column = _mark_of(node)
        dotted = ".".join(map(str, path))
        return RecipeError([f"{self.document.name}:{line}:{column}: {dotted + ': ' if dotted else ''}{message}"])


def whole_text(text: str) -> str:
    """Return text with the two halves joined that JSON writes of an emoji, say.

    Raises ValueError where it holds one half alone, as a word that is not UTF-8 does, or a NUL.
    """
    if "\0" in text:
        raise ValueError("holds a NUL character, which no name of a file can have; remove it")
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise ValueError("holds half of a character, or bytes that are not UTF-8; write the whole character") from error


def _mark_of(node: Any) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1
