"""What pydantic refuses of a recipe's data, in words that say what is wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from embedrun.errors import Problem, suggest
from embedrun.recipe import Recipe
from embedrun.stage import Stage
from embedrun_plugins.stages.docstrings import descriptions

KeyPath = tuple[str | int, ...]
ClassAt = Callable[[KeyPath], type[BaseModel]]
"""Returns the class of what stands at a path of the recipe."""

WORDS: Mapping[str, str] = {
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number, such as 8"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number, such as 0.5"),
    **dict.fromkeys(("string_type", "path_type"), "must be text"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list, as in [a, b]"),
    **dict.fromkeys(("too_short", "string_too_short"), "must not be empty"),
    "dict_type": "must be a mapping, as in {{key: value}}",
    "finite_number": "must be a finite number",
    "int_parsing_size": "must be a whole number of at most 64 bits",
    "greater_than": "must be greater than {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "less_than": "must be less than {lt:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
    "literal_error": "must be {expected}",
}
"""What is wanted, by pydantic's type of an error."""
_SECTIONS = ("trainer", "model", *(name for name in Recipe.model_fields if name not in ("trainer", "model")))
_MOST = 20


def problems_of(error: ValidationError, data: Any, class_at: ClassAt, usual_names: Mapping[str, str]) -> list[Problem]:
    """Return what is wrong, once for each place; keys that are none come first, with what they were meant to be.

    A single value where a list is meant becomes a list in the data; if there was such a one, nothing is returned.
    """
    if any([_wrap(data, detail) for detail in error.errors()]):  # noqa: C419  # all of them
        return []
    by_path: dict[KeyPath, list[Any]] = {}
    for detail in error.errors():
        by_path.setdefault(_path(detail, data), []).append(detail)
    unknown = {path for path, details in by_path.items() if details[0]["type"] == "extra_forbidden"}
    meant = {path: _meant(path, class_at, usual_names) for path in by_path if path in unknown}
    problems = [Problem(path, f"unknown key{hint}", at_key=True) for path, (_, hint) in meant.items()]
    replaced = {key for key, _ in meant.values()}
    for path, details in by_path.items():
        missing = details[0]["type"] == "missing" and ".".join(map(str, path)) in replaced
        deeper = any(other != path and other[: len(path)] == path for other in by_path)
        if path not in unknown and not missing and not (deeper and len(details[0]["loc"]) > len(path)):
            problems.append(Problem(path, _wanted(path, details, class_at)))
    return problems


def _wrap(data: Any, detail: Any) -> bool:
    """Make a list of a single value that stands where a list is meant; return whether it does."""
    path = _path(detail, data)
    of_several_types = len(path) < len(detail["loc"])
    if detail["type"] != "tuple_type" or of_several_types or detail["input"] is None:
        return False
    for part in path[:-1]:
        data = data if isinstance(data, dict) and part not in data else data[part]
    data[path[-1]] = [data[path[-1]]]
    return True


def _path(detail: Any, data: Any) -> KeyPath:
    """Return where an error is, without the names that pydantic gives to the types that it tried there."""
    path: list[str | int] = []
    missing = detail["loc"][-1:] if detail["type"] == "missing" else ()
    for part in detail["loc"][: len(detail["loc"]) - len(missing)]:
        if isinstance(data, dict) and part in data:
            path.append(part)
            data = data[part]
        elif isinstance(part, int):  # a single stage may stand where a list of stages is meant
            path.append(part)
            data = data[part] if isinstance(data, list) and part < len(data) else data
    return (*path, *missing)


def _wanted(path: KeyPath, details: Sequence[Any], class_at: ClassAt) -> str:
    kind, value = details[0]["type"], details[0].get("input")
    if kind == "missing":
        return "is missing; every recipe needs it" if len(path) == 1 else "is missing"
    if kind == "literal_error" and len(details) == 1:
        allowed = str(details[0]["ctx"]["expected"])
        names = re.findall(r"'([^']*)'", allowed)
        return (
            f"{value!r} is not allowed{suggest(str(value), names) if len(names) > _MOST else f'; allowed: {allowed}'}"
        )
    if kind == "string_pattern_mismatch":
        about = " ".join(descriptions(class_at(path[:-1])).get(str(path[-1]), "").split())
        return f"{value!r} does not have the form that is wanted: {about.partition('. ')[0].rstrip('.')}"
    phrases = dict.fromkeys(_phrase(detail, class_at(path)) for detail in details)
    text = " or ".join([phrase.removeprefix("must be ") if n else phrase for n, phrase in enumerate(phrases)])
    if not any(detail["type"] in WORDS or detail["type"] == "model_type" for detail in details):
        return text
    shown = repr(value) if isinstance(value, (str, int, float, bool)) else _NOUNS.get(type(value), "this")
    return f"{text}, not {shown}"


_NOUNS = {list: "a list", dict: "a mapping", type(None): "nothing"}


def _phrase(detail: Any, model: type[BaseModel]) -> str:
    if detail["type"] == "model_type":
        return f"must be a mapping of {', '.join(list(model.model_fields)[:_MOST])}"
    return phrase(detail)


def phrase(detail: Any) -> str:
    """Say what one of pydantic's errors asks for, as in "must be at least 1"."""
    words = WORDS.get(detail["type"])
    return words.format(**detail.get("ctx") or {}) if words else str(detail["msg"]).removeprefix("Value error, ")


def _meant(path: KeyPath, class_at: ClassAt, usual_names: Mapping[str, str]) -> tuple[str, str]:
    """Return the key that was meant, where one can be said to be, and a hint.

    That is what other tools call so, else a key of that name elsewhere; the hint may also name a similar one.
    """
    *around, name = map(str, path)
    for usual in usual_names.get(name.lower(), "").split():
        *outer, key = usual.split(".")
        known = class_at(tuple(outer)).model_fields.keys()
        if key in known or known <= {"type"}:
            return usual, f"; did you mean '{usual.removeprefix(''.join(f'{part}.' for part in around))}'?"
    model = class_at(path[:-1])
    if name in Recipe.model_fields:
        return name, f"; did you mean '{name}' at the top of the recipe?"
    for section in _SECTIONS:
        if name in class_at((section,)).model_fields and section not in path:
            return f"{section}.{name}", f"; did you mean '{section}.{name}'?"
    hint = suggest(name, model.model_fields)
    if len(model.model_fields) > _MOST and issubclass(model, Stage) and hint.startswith("; allowed"):
        hint = f"; `embedrun plugins {model.kind}.{model.model_fields['type'].default}` lists what there is"
    return "", hint
