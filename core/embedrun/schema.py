"""The recipe's JSON Schema, with every installed stage, for editors; and the documentation of one stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import models_json_schema

from embedrun.recipe import Recipe
from embedrun.registry import Entry, Registry
from embedrun.stages import KINDS, Stage

_TEMPLATE = "#/$defs/{model}"


def json_schema(registry: Registry) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of recipes with the stages of this registry."""
    installed = [(kind, entry.stage) for kind in KINDS for entry in registry.entries(kind).values()]
    models = [(model, "validation") for model in (Recipe, *KINDS, *(stage for _, stage in installed))]
    names, schema = models_json_schema(models, ref_template=_TEMPLATE)  # type: ignore[arg-type]  # literals widen
    definitions: dict[str, Any] = schema["$defs"]
    for kind in KINDS:
        own = [stage for of, stage in installed if of is kind]
        references = [names[stage, "validation"]["$ref"] for stage in own]
        for stage, reference in zip(own, references, strict=True):
            described = definitions[reference.rsplit("/", 1)[-1]]
            described["required"] = sorted({"type", *described.get("required", ())})
            described["description"] = (stage.__doc__ or "").strip()
        short = {"enum": [stage.model_fields["type"].default for stage in own]}
        definitions[names[kind, "validation"]["$ref"].rsplit("/", 1)[-1]] = {
            "title": kind.__name__,
            "description": (kind.__doc__ or "").strip(),
            "anyOf": [short, *({"$ref": reference} for reference in references)],
        }
    recipe = definitions.pop(names[Recipe, "validation"]["$ref"].rsplit("/", 1)[-1])
    _loosen(recipe)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "embedrun recipe",
        **{key: value for key, value in recipe.items() if key != "title"},
        "$defs": definitions,
    }


def _loosen(recipe: dict[str, Any]) -> None:
    """Allow the short forms: one stage for a list of one, a bare id for a model, no name."""
    recipe["required"] = [key for key in recipe["required"] if key != "name"]
    for value in recipe["properties"].values():
        if value.get("type") == "array" and "$ref" in value.get("items", {}):
            value["anyOf"] = [{"type": "array", "items": value["items"]}, value["items"], {"type": "null"}]
            del value["type"], value["items"]
    model = recipe["properties"]["model"]
    model["anyOf"] = [{"type": "string"}, {"$ref": model.pop("$ref")}]


def fields(stage: type[Stage]) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and documentation of each of a stage's fields."""
    properties = stage.model_json_schema()["properties"]
    required = stage.model_json_schema().get("required", ())
    for name, field in stage.model_fields.items():
        if name == "type":
            continue
        default = "required" if name in required else _shown(field.get_default(call_default_factory=True))
        yield name, _type_of(properties[name]), default, (field.description or "").replace("\n", " ")


def _shown(default: object) -> str:
    return "-" if default is None else str(default)


def _type_of(described: dict[str, Any]) -> str:
    if "enum" in described:
        return " | ".join(map(str, described["enum"]))
    if "$ref" in described:
        return str(described["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in described:
        return " | ".join(_type_of(choice) for choice in described["anyOf"] if choice.get("type") != "null")
    if described.get("type") == "array" and "items" in described:
        return f"list of {_type_of(described['items'])}"
    return str(described.get("type", described.get("const", "any")))


def about(entry: Entry) -> str:
    """Return the first sentence of a stage's docstring."""
    return (entry.stage.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
