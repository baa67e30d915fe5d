"""The docstrings under a class's fields, read from its source when they are shown."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return the documentation of a model's fields by name: `Field(description=…)`, else the docstring under it."""
    return {
        name: text
        for name, field in model.model_fields.items()
        if (text := field.description or _inherited(model, name))
    }


def _inherited(model: type[BaseModel], name: str) -> str | None:
    owner = next((cls for cls in model.__mro__ if name in inspect.get_annotations(cls)), None)
    return _under_fields(owner).get(name) if owner else None


@cache
def _under_fields(cls: type) -> Mapping[str, str]:
    body = _statements(cls.__module__)
    for name in cls.__qualname__.replace(".<locals>", "").split("."):
        body = next((node.body for node in reversed(body) if isinstance(node, _NAMED) and node.name == name), [])
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


_NAMED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _statements(module: str) -> list[ast.stmt]:
    """Parse a module's source; empty where there is none, as in an interactive session."""
    try:
        return ast.parse(inspect.getsource(sys.modules[module])).body
    except (KeyError, OSError, TypeError):
        return []


class DescribedSchema(GenerateJsonSchema):
    """Makes a JSON Schema in which fields have their docstrings as descriptions."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        properties = described.get("properties", {})
        for name, text in descriptions(schema["cls"]).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return described
