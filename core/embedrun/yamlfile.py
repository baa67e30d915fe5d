"""YAML with positions: what a recipe says, and where it says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from embedrun.context import FromCommandLine
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
            key = str(key_node.value)
            key_path = (*path, key)
            if key in mapping:
                first = self.document.keys[key_path][0]
                raise self._error(key_node, key_path, f"given twice; first in line {first}")
            self.document.keys[key_path] = _mark_of(key_node)
            mapping[key] = self.read(value_node, key_path)
        return mapping

    def _scalar(self, node: Any, path: KeyPath) -> Any:
        tag = str(node.tag).rsplit(":", 1)[-1]
        try:
            match tag:
                case "null":
                    return None
                case "bool" | "int" | "float":
                    return _NUMBERS[tag](getattr(self.constructor, f"construct_yaml_{tag}")(node))
                case "str" | "timestamp":
                    return str(node.value)
        except (ValueError, OverflowError) as error:
            raise self._error(node, path, f"{node.value!r} is not a valid {tag}") from error
        raise self._error(node, path, f"the tag '{node.tag}' is not allowed in a recipe")

    def _error(self, node: Any, path: KeyPath, message: str) -> RecipeError:
        line, column = _mark_of(node)
        dotted = ".".join(map(str, path))
        return RecipeError([f"{self.document.name}:{line}:{column}: {dotted + ': ' if dotted else ''}{message}"])


def _mark_of(node: Any) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1


def override(document: YamlFile, settings: Mapping[str, Any], keys: Any = None) -> None:
    """Change values by dotted path, as `--set trainer.epochs=1` does; text is read as YAML.

    `keys(path, type)` names the keys that stay when a stage's `type` has changed, so that keys of the old type do not
    linger as unknown keys of the new one.
    Raises UserError where the path leads nowhere.
    """
    for dotted, raw in settings.items():
        value = _value(dotted, raw)
        parts = tuple(int(p) if p.isascii() and p.isdecimal() else p for p in dotted.split("."))
        parent = _descend(document.data, parts[:-1], dotted)
        retyped = parts[-1] == "type" and isinstance(parent, dict) and parent.get("type") != value
        try:
            parent[parts[-1]] = value
        except (IndexError, TypeError) as error:
            raise UserError(f"--set {dotted}: there is no '{dotted}' in this recipe") from error
        if retyped and keys and (kept := keys(parts[:-1], value)) is not None:
            for key in parent.keys() - kept:
                del parent[key]
        document.overridden[parts] = dotted


def _value(dotted: str, raw: Any) -> Any:
    """Read text as YAML, but keep plain words as they are: `query: ` is a prompt, not a mapping."""
    if not isinstance(raw, str):
        return raw
    try:
        value = parse(f"value: {raw}", "--set").data["value"]
    except RecipeError as error:
        if raw[:1] in ("[", "{", "'", '"'):
            raise UserError(f"--set {dotted}: {str(error).split(': ', 1)[-1]}") from error
        value = raw
    if isinstance(value, str):
        return FromCommandLine(value if raw[:1] in ("'", '"') else raw)
    return value


def _descend(data: Any, parts: KeyPath, text: str) -> Any:
    for depth, part in enumerate(parts):
        if isinstance(data, dict) and part == 0:
            continue  # a single stage stands where a list of one is meant
        if isinstance(data, dict):
            child = data.setdefault(str(part), {})
            # `loss: triplet` is short for `loss: {type: triplet}`, and so is a missing stage.
            if isinstance(child, str):
                child = data[str(part)] = {"id" if part == "model" else "type": child}
            elif child is None:
                child = data[str(part)] = {}
            data = child
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            raise UserError(f"--set {text}: there is no '{'.'.join(map(str, parts[: depth + 1]))}' in this recipe")
    return data
