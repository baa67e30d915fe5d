"""The reference of every key of a recipe, written from the classes that read it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from embedrun.model_settings import ModelChoice
from embedrun.recipe import Recipe
from embedrun.registry import Registry
from embedrun.stages import KINDS
from embedrun_plugins.stages.docstrings import DescribedSchema

Schema = Mapping[str, Any]
_HEAD = """\
# Every key of a recipe

Written by `embedrun plugins --reference` from the classes that read a recipe; a test compares. A key without a default
is required. `embedrun plugins TYPE` shows one stage in the terminal, and `embedrun schema` prints a JSON Schema with
which an editor completes and checks recipes.
"""
_EXAMPLES: Mapping[str, str] = {
    "integer": "whole number, such as 8",
    "number": "number, such as 0.5",
    "boolean": "true or false",
    "string": "text",
    "object": "mapping",
    "null": "nothing",
}
_SECTIONS = {"ModelChoice": "model", **{kind.__name__: kind.kind for kind in KINDS}}
_LIMITS = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}
_LENGTHS = {"minLength": "characters at least", "minItems": "at least", "maxItems": "at most"}


def page(registry: Registry) -> str:
    """Return the reference in Markdown: the recipe's own keys, the model's, and those of every installed stage."""
    parts = [_HEAD, "## The recipe\n", _about(Recipe), *_tables(Recipe, "", registry)]
    parts += ["## model\n", _about(ModelChoice), *_tables(ModelChoice, "model")]
    for kind in KINDS:
        parts += [f"## {kind.kind}\n", _about(kind)]
        for name, entry in registry.entries(kind).items():
            parts += [f"### {kind.kind}: {name}\n", _about(entry.stage), *_tables(entry.stage, kind.kind)]
    return "\n".join(parts)


def _about(model: type) -> str:
    return f"{inspect.cleandoc(model.__doc__ or '')}\n"


def _tables(model: type[BaseModel], key: str, registry: Registry | None = None) -> Iterator[str]:
    """Yield the table of a model's keys, and that of each model within it."""
    schema = model.model_json_schema(schema_generator=DescribedSchema)
    yield _table(schema, schema.get("$defs", {}))
    if registry is None:
        for name, inner in sorted(schema.get("$defs", {}).items()):
            if "properties" in inner:
                yield f"**{name}**, within `{key}`: {_line(inner.get('description', ''))}\n"
                yield _table(inner, schema["$defs"])


def _table(schema: Schema, models: Schema) -> str:
    required = schema.get("required", ())
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        if name != "type":
            default = "" if name in required else f"`{_yaml(field.get('default'))}`"
            cells = (f"`{name}`", _line(_words(field, models)), default, _line(field.get("description", "")))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else "It has no keys of its own.\n"  # noqa: PLR2004 # the head


def _words(field: Schema, models: Schema) -> str:
    """Say what a value may be."""
    if "$ref" in field:
        name = str(field["$ref"]).rsplit("/", 1)[-1]
        if name in _SECTIONS:
            return f"[{name}](#{_SECTIONS[name]})"
        return name if "properties" in models.get(name, {}) else _words(models.get(name, {}), models)
    if "enum" in field or "const" in field:
        # Sorted, since `typing` takes two unions of the same values for one, in the order of whichever came first.
        return " or ".join(sorted(f"`{_yaml(value)}`" for value in field.get("enum", [field.get("const")])))
    for several in ("anyOf", "oneOf"):
        if several in field:
            choices = [_words(choice, models) for choice in field[several] if choice.get("type") != "null"]
            return " or ".join(sorted(set(choices)))
    limits = [f"{word} {field[name]:.12g}" for name, word in _LIMITS.items() if name in field]
    if field.get("type") == "array":
        items = field.get("items") or {"anyOf": field.get("prefixItems", [])}
        words = f"list of: {_words(items, models)}" if items.get("anyOf") != [] else "list"
        return ", ".join([words, *(f"{word} {field[name]}" for name, word in _LENGTHS.items() if name in field)])
    return ", ".join([_EXAMPLES.get(str(field.get("type")), "any"), *limits])


def _yaml(value: object) -> str:
    """Write a default as a recipe would."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return value or '""'
    return json.dumps(value, ensure_ascii=False)


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
