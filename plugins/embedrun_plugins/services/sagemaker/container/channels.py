"""What the channels bring: the recipe, its input files, and results that need not be made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from embedrun.errors import StoreError, UserError, suggest
from embedrun.store import Build, Store
from embedrun_plugins.services import shipped_recipes
from embedrun_plugins.services.sagemaker.container.contract import JobConfiguration

LOCK = "recipe.lock.json"
_INPUTS, _MODELS = "inputs.json", "models.json"
_RECIPES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Chosen:
    """The recipe to run."""

    file: Path
    record: Path | None = None
    """Folder of the run that a client began, if it sent one."""


def choose(order: JobConfiguration, scratch: Path) -> Chosen:
    """Find the recipe that the job names; a lock's paths become those of the channels, in a copy below `scratch`.

    Raises UserError where there is no such recipe, or `inputs.json` promises files that are not there.
    """
    file = _named(order) if "recipe" in order.hyperparameters else _only(order)
    lock = json.loads(file.read_text("utf-8")) if file.name == LOCK else None
    if not isinstance(lock, dict) or not isinstance(recipe := (lock.get("lock") or {}).get("recipe"), dict):
        return Chosen(file)
    recipe = relocated(recipe, _places(order.channels.get("inputs")))
    recipe["plugins"] = [str(file.parent / plugin) for plugin in recipe.get("plugins") or ()]
    copy = scratch / LOCK
    copy.write_text(json.dumps({"lock": {**lock["lock"], "recipe": recipe}}, ensure_ascii=False), "utf-8")
    return Chosen(copy, file.parent if (file.parent / "run.json").exists() else None)


def _named(order: JobConfiguration) -> Path:
    """Return the file that `recipe` names: in the channel `recipe`, as CHANNEL/FILE, or shipped."""
    name = order.hyperparameters["recipe"]
    channel, _, rest = name.partition("/")
    folders = {"recipe": name, **({channel: rest} if rest else {})}
    for folder, inside in folders.items():
        if folder in order.channels:
            root = order.channels[folder].resolve()
            file = (root / inside).resolve()
            if file.is_file() and file.is_relative_to(root):
                return file
    shipped = shipped_recipes.recipes()
    if name in shipped:
        return shipped[name]
    names = [*shipped, *(f"{key}/{file.name}" for key, path in order.channels.items() for file in _recipes(path))]
    channels = ", ".join(order.channels) or "none"
    raise UserError(
        f"hyperparameter recipe: '{name}' is neither a file of a channel (channels: {channels}) nor a shipped recipe"
        f"{suggest(name, names)}"
    )


def _only(order: JobConfiguration) -> Path:
    """Return the recipe of the channel `recipe`, where none is named."""
    folder = order.channels.get("recipe")
    recipes = _recipes(folder) if folder else []
    lock = [file for file in recipes if file.name == LOCK]
    if len(recipes) == 1 or lock:
        return (lock or recipes)[0]
    if folder is None:
        advice = "send one in a channel 'recipe', or name a shipped one"
        raise UserError(
            f"there is no recipe: {advice} by the hyperparameter 'recipe'{suggest('', shipped_recipes.recipes())}"
        )
    names = ", ".join(file.name for file in recipes) or "none"
    raise UserError(f"channel 'recipe': holds no {LOCK} and not one recipe alone ({names}); name one as 'recipe'")


def _recipes(folder: Path) -> list[Path]:
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix in _RECIPES]
    return [file for file in files if file.name == LOCK or file.suffix != ".json"]


def _places(channel: Path | None) -> dict[str, Path]:
    """Read where the channel `inputs` holds what was elsewhere on the client's machine."""
    if channel is None:
        return {}
    file = channel / _INPUTS
    try:
        listed = json.loads(file.read_text("utf-8"))
        paths = {str(there): channel / str(here) for there, here in listed.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"channel 'inputs': {_INPUTS} must map paths to paths within the channel: {error}") from error
    for there, here in paths.items():
        if not here.exists() or not here.resolve().is_relative_to(channel.resolve()):
            raise UserError(
                f"channel 'inputs': {_INPUTS} names '{here.relative_to(channel)}' for {there}; it is not there"
            )
    return paths


def sent_models(order: JobConfiguration) -> str | None:
    """Return what EMBEDRUN_MODELS is to say: the copies of hub models in the channel `inputs`, if it lists any."""
    channel = order.channels.get("inputs")
    if channel is None or not (channel / _MODELS).exists():
        return None
    listed = json.loads((channel / _MODELS).read_text("utf-8"))
    return json.dumps([{**model, "path": str(channel / model["path"])} for model in listed])


def relocated(value: Any, paths: Mapping[str, Path]) -> Any:
    """Return a JSON value with its paths moved: whole texts that are a key, or lie below a folder that is one."""
    if isinstance(value, dict):
        return {key: relocated(inner, paths) for key, inner in value.items()}
    if isinstance(value, list):
        return [relocated(inner, paths) for inner in value]
    if not isinstance(value, str):
        return value
    if value in paths:
        return str(paths[value])
    for parent in PurePosixPath(value).parents if value.startswith("/") else ():
        folder = paths.get(str(parent))
        if folder and folder.is_dir():
            return str(folder / PurePosixPath(value).relative_to(parent))
    return value


def import_results(sent: Path | None, root: Path) -> None:
    """Copy to a store what a folder like it holds and the store does not, or holds damaged; each entry as a whole.

    Raises StoreError where an entry is not what its manifest says.
    """
    if sent is None:
        return
    store = Store(root)
    for file in sorted(sent.glob("??/*/manifest.json")):
        there = Store(sent).get(file.parent.name)
        if there is None:
            raise StoreError(f"{file.parent}: was damaged on its way")
        described = {name: value for name, value in there.manifest.items() if name not in ("key", "digest", "files")}
        with store.building(file.parent.name) as build:
            if isinstance(build, Build):
                shutil.copytree(file.parent / "out", build.out, copy_function=link, dirs_exist_ok=True)
                store.publish(file.parent.name, build, described)
    for answer in sorted(path for path in (sent / "answers").rglob("*") if path.is_file()):
        target = root / answer.relative_to(sent)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(answer, scratch)
            scratch.replace(target)


def link(source: str, target: str) -> None:
    """Give a file that never changes a second name, or copy it to another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
