"""`embedrun schema`: the JSON Schema of recipes, with every installed stage, for editors."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from pydantic.json_schema import models_json_schema

from embedrun.recipe import Recipe
from embedrun.registry import Registry
from embedrun.stages import KINDS
from embedrun_plugins.stages.docstrings import DescribedSchema

_TEMPLATE = "#/$defs/{model}"


def json_schema(registry: Registry) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of recipes with the stages of this registry."""
    installed = [(kind, entry.stage) for kind in KINDS for entry in registry.entries(kind).values()]
    models = [(model, "validation") for model in (Recipe, *KINDS, *(stage for _, stage in installed))]
    names, schema = models_json_schema(
        models,  # type: ignore[arg-type]  # literals widen
        ref_template=_TEMPLATE,
        schema_generator=DescribedSchema,
    )
    definitions: dict[str, Any] = schema["$defs"]
    for kind in KINDS:
        of_kind = [stage for of, stage in installed if of is kind]
        references = [names[stage, "validation"]["$ref"] for stage in of_kind]
        for stage, reference in zip(of_kind, references, strict=True):
            described = definitions[reference.rsplit("/", 1)[-1]]
            described["description"] = (stage.__doc__ or "").strip()
        short = {"enum": [stage.model_fields["type"].default for stage in of_kind]}
        definitions[names[kind, "validation"]["$ref"].rsplit("/", 1)[-1]] = {
            "title": kind.__name__,
            "description": (kind.__doc__ or "").strip(),
            "anyOf": [short, *({"$ref": reference, "required": ["type"]} for reference in references)],
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


def configure(parser: ArgumentParser) -> None:
    """Take no arguments."""


def run(_: Namespace) -> int:
    print(json.dumps(json_schema(Registry()), indent=2))
    return 0
