"""A recipe's file: read, overridden, and validated with the plugins that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from embedrun import rules, yamlfile
from embedrun.context import FromCommandLine
from embedrun.errors import Problem, RecipeError, UserError
from embedrun.recipe import Recipe
from embedrun.registry import Registry
from embedrun.stages import KINDS


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> tuple[Recipe, Registry, yamlfile.YamlFile]:
    """Read, override and validate a recipe; its local plugins are loaded first.

    A relative path in a recipe is meant from the recipe's folder, one given by an override from the current folder.
    Raises RecipeError with every problem found, each with its place in the file.
    """
    document = yamlfile.read(path)
    if "lock" in document.data:
        document = yamlfile.YamlFile(document.name, _locked(document))
    document.data.setdefault("name", re.sub(r"[^\w.-]+", "-", path.name.split(".")[0]).strip("-.") or "recipe")
    overrides = dict(overrides or {})
    first = {key: overrides.pop(key) for key in list(overrides) if key.split(".")[0] == "plugins"}
    override(document, first)
    registry = Registry(_plugin_files(document, path))

    def keys(path: yamlfile.KeyPath, name: Any) -> Iterable[str] | None:
        fields = _model_at(registry, path, document.data).model_fields
        return fields if "type" in fields and fields["type"].default == name else None

    override(document, overrides, keys)
    return validate(document, registry, path.parent), registry, document


def _locked(document: yamlfile.YamlFile) -> dict[str, Any]:
    lock = document.data["lock"]
    if not isinstance(lock, dict) or not isinstance(lock.get("recipe"), dict):
        raise document.error([Problem(("lock",), "is not a lock file of embedrun: it holds no recipe")])
    return dict(lock["recipe"])


def _plugin_files(document: yamlfile.YamlFile, path: Path) -> list[Path]:
    named = document.data.get("plugins") or []
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise document.error([Problem(("plugins",), "must be a list of Python files")])
    document.data["plugins"] = names
    files = [path.parent / name for name in names]
    for index, file in enumerate(files):
        if not file.is_file():
            raise document.error([Problem(("plugins", index), f"no such file: {file}")])
        if file in files[:index]:
            raise document.error([Problem(("plugins", index), f"listed twice: {file}")])
    return files


def validate(document: yamlfile.YamlFile, registry: Registry, folder: Path | None = None) -> Recipe:
    """Validate plain data as a recipe and apply the rules between stages."""
    try:
        recipe = Recipe.model_validate(document.data, context=registry.validation_context(folder))
    except ValidationError as error:
        problems = registry.hooks.hook.embedrun_problems(
            error=error,
            data=document.data,
            class_at=lambda path: _model_at(registry, path, document.data),
            usual_names=registry.usual_names(),
        )
        if problems == []:  # the data was mended
            return validate(document, registry, folder)
        raise document.error(problems or [Problem((), str(error))]) from error
    problems = list(rules.problems(recipe, registry.hooks))
    if problems:
        raise document.error(problems)
    return recipe


def _model_at(registry: Registry, path: yamlfile.KeyPath, data: Any) -> type[BaseModel]:
    """Return the class of what stands at a path: a kind, where the data names no installed stage."""
    model: type[BaseModel] = Recipe
    value = data
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = _nested_model(model.model_fields[part].annotation) or model
            value = value.get(part) if isinstance(value, dict) else None
        elif isinstance(part, int) and isinstance(value, list) and part < len(value):
            value = value[part]
        name = str(value.get("type") if isinstance(value, dict) else value)
        if model in KINDS and name in registry.entries(model):
            model = registry.entries(model)[name].stage
    return model


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_nested_model, get_args(annotation))), None)


def override(document: yamlfile.YamlFile, settings: Mapping[str, Any], keys: Any = None) -> None:
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
        yamlfile.whole_text(f"{dotted} {raw}")
        value = yamlfile.parse(f"value: {raw}", "--set").data["value"]
    except ValueError as error:
        raise UserError(f"--set {dotted}: {error}") from error
    except RecipeError as error:
        if raw[:1] in ("[", "{", "'", '"'):
            raise UserError(f"--set {dotted}: {str(error).split(': ', 1)[-1]}") from error
        value = raw
    return FromCommandLine(value if raw[:1] in ("'", '"') else raw) if isinstance(value, str) else value


def _descend(data: Any, parts: yamlfile.KeyPath, text: str) -> Any:
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
