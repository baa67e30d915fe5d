"""What differs in what a result was made of, in words of the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embedrun.plan import Step
from embedrun.stage import Stage
from embedrun_plugins.results.phrases import nearby

_LONGEST = 80

Made = Mapping[str, Any]
"""What a key is the digest of, as `Plan.description` returns it and manifests keep it."""


def changes(then: Made, now: Made, step: Step) -> Iterator[str]:
    """Say what differs between what a step's result was made of then and now."""
    place = place_of(step)
    parts = {"stage": (place, step.stage), "loss": ("loss", step.loss)}
    parts |= {"rival": ("compare_with", step.comparison), "dev": ("evaluator", step.dev)}
    for name, (where, _) in parts.items():
        if name in then and name in now:
            yield from _stage_changes(then[name], now[name], where)
        elif name in then or name in now:
            yield f"{where}: {'was' if name in then else 'is now'} part of this stage"
    yield from _file_changes(then.get("files") or [], now.get("files") or [], [*_files(parts)], place)
    yield from _input_changes(then["inputs"], now["inputs"], step)
    yield from differences(then.get("model"), now.get("model"), "model")
    yield from differences(then.get("seed"), now.get("seed"), "seed")
    yield from differences(then.get("schema"), now.get("schema"), "layout of embedrun's results")


def place_of(step: Step) -> str:
    """Return where in the recipe a step's stage stands: `filters.0`, `trainer`."""
    words = step.slot.split(".")
    return ".".join(words[:2]) if words[0] == "filters" else step.stage.kind


def _stage_changes(then: Made, now: Made, path: str) -> Iterator[str]:
    (name, version), (name_now, version_now) = then["owner"], now["owner"]
    if (name, version) != (name_now, version_now):
        yield f"{path}: its plugin is {name_now} {version_now} now, and was {name} {version}"
    if then["version"] != now["version"]:
        yield f"{path}: the stage's own version is {now['version']} now, and was {then['version']}"
    yield from differences(then["config"], now["config"], path)


def _files(parts: Mapping[str, tuple[str, Stage | None]]) -> Iterator[tuple[str, Path]]:
    for place, stage in parts.values():
        yield from ((place, path) for path in (stage.inputs() if stage else ()))


def _file_changes(then: list[str], now: list[str], files: list[tuple[str, Path]], key: str) -> Iterator[str]:
    if len(then) != len(now):
        yield f"{key}: it reads {len(now)} files or folders now, and read {len(then)}"
    for before, after, (where, path) in zip(then, now, files, strict=False):
        if before != after:
            yield f"{where}: {nearby(path)} has changed"


def _input_changes(then: Mapping[str, str], now: Mapping[str, str], step: Step) -> Iterator[str]:
    for name in sorted(then.keys() | now.keys()):
        slot = step.needs.get(name, name)
        if then.get(name) != now.get(name):
            change = "the files of the model to start from have changed"
            yield f"{slot}: {change if slot == 'model' else f'its result, which {step.slot} reads, differs'}"


def differences(then: Any, now: Any, path: str) -> Iterator[str]:
    """Say where two JSON values differ, each place by its dotted path."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*then, *now)):
            if key in then and key in now:
                yield from differences(then[key], now[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: {'is gone' if key in then else f'is new, {_value(now[key])}'}"
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for index, (before, after) in enumerate(zip(then, now, strict=True)):
            yield from differences(before, after, f"{path}.{index}")
    elif then != now:
        yield f"{path}: {_value(then)} then, {_value(now)} now"


def _value(value: Any) -> str:
    text = "none" if value is None else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
