"""`embedrun plugins`: the installed stages, or one of them with its keys."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from embedrun import Stage, UserError
from embedrun.errors import suggest
from embedrun.registry import Entry, Registry
from embedrun.stages import KINDS
from embedrun_plugins.cli import console
from embedrun_plugins.stages.docstrings import descriptions

_WIDEST = 40


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="a type, or KEY.TYPE where a type is not unique")
    parser.add_argument("--reference", action="store_true", help="print every key of every stage, in Markdown")


def run(arguments: Namespace) -> int:
    registry = Registry()
    if arguments.reference:
        from embedrun_plugins.cli import reference

        print(reference.page(registry), end="")
        return 0
    installed = [(kind, name, entry) for kind in KINDS for name, entry in registry.entries(kind).items()]
    if not arguments.stage:
        rows = [[kind.kind, name, str(entry.owner), about(entry)] for kind, name, entry in installed]
        console.say(console.table(["key", "type", "from", ""], rows, left=True))
        return 0
    named = [(k, n, e) for k, n, e in installed if arguments.stage in (n, f"{k.kind}.{n}")]
    if not named:
        raise UserError(f"{arguments.stage}: no such stage{suggest(arguments.stage, [n for _, n, _ in installed])}")
    for kind, name, entry in named:
        print(f"{kind.kind}: {{type: {name}}}  ({entry.owner})\n{about(entry)}\n")
        print(console.table(["key", "type", "default", ""], list(fields(entry.stage)), left=True))
    return 0


def fields(stage: type[Stage]) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and documentation of each of a stage's fields."""
    schema, documented = stage.model_json_schema(), descriptions(stage)
    properties, required = schema["properties"], schema.get("required", ())
    for name, field in stage.model_fields.items():
        if name == "type":
            continue
        default = "required" if name in required else _shown(field.get_default(call_default_factory=True))
        yield name, _cut(_type_of(properties[name])), _cut(default), documented.get(name, "").replace("\n", " ")


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


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
