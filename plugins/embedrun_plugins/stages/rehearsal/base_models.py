"""Models for rehearsals: the real one where it is here and small, else one of its shape, or a small random BERT."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from embedrun.errors import UserError
from embedrun.file_digests import FileDigests
from embedrun.model_settings import ModelChoice
from embedrun.registry import Registry
from embedrun.rehearsal import Note
from embedrun_plugins.models.base_models import find, find_on_disk
from embedrun_plugins.stages.rehearsal.random_models import random_model, shrunk, vector_size, weights_size

SMALL = 100 * 2**20
"""Bytes of weights that can be trained for two steps on a CPU within the minute."""
LEAST = 64
"""Dimensions of a random model where the recipe asks for no more."""
LENGTH = 512
"""Tokens that it reads, likewise."""


@dataclass(frozen=True)
class Basis:
    """The model that a rehearsal starts from, and what is noted of it."""

    choice: ModelChoice
    notes: tuple[Note, ...] = ()


def basis(choice: ModelChoice, registry: Registry, beside: Path, scratch: Path, dimensions: Iterable[int]) -> Basis:
    """Choose what stands in for a recipe's model; `beside` is the recipe's folder.

    Raises UserError where it can be no model at all: a path that is not there, no hub id, an unknown architecture.
    """
    on_cpu = choice.model_copy(update={"attention": None, "dtype": choice.dtype and "float32"})
    folder = folder_of(choice, registry, beside)
    size = weights_size(folder) if folder else 0
    if folder and (size > SMALL or (not size and _is_cached(folder))):
        if shrunk(folder, scratch, trusted=choice.trust_remote_code):
            return Basis(
                _at(on_cpu, scratch), (Note(f"{choice.id}: a random model of its shape with 2 layers is used instead"),)
            )
    elif folder:
        left_out = [f"attention: {choice.attention} is left out, since it needs a GPU"] if choice.attention else []
        left_out += [f"dtype: float32 in place of {choice.dtype}"] if choice.dtype != on_cpu.dtype else []
        return Basis(on_cpu, tuple(map(Note, left_out)))
    else:
        _require_id(choice, registry, beside, scratch)
    size = max(LEAST, *dimensions, choice.dimensions or 0, vector_size(folder) if folder else 0)
    random_model(scratch, size, max(LENGTH, choice.max_length or 0))
    why = "cannot be made small" if folder else "is not here"
    unknown = "what only its files show (whether it loads, what can serve it) cannot be checked"
    hint = "" if folder else _meant(choice, registry)
    sentence = f"{choice.id} {why}: a random BERT of {size} dimensions is used instead, so {unknown}{hint}"
    return Basis(_at(on_cpu, scratch), (Note(sentence, unsure=True),))


def _at(choice: ModelChoice, folder: Path) -> ModelChoice:
    return choice.model_copy(update={"id": str(folder.resolve()), "revision": None})


def folder_of(choice: ModelChoice, registry: Registry, beside: Path) -> Path | None:
    """Return where the model's files are on this machine, if at least its configuration is, without its weights."""
    model = find_on_disk(choice, registry.local_models(), beside)
    whole = model and (not _is_cached(model.path) or any(model.path.rglob("config.json")))
    return model.path if model and whole else None


def _is_cached(folder: Path) -> bool:
    """Say whether a folder is of the hub's cache, where weights may not be downloaded yet."""
    return folder.parent.name == "snapshots"


def _require_id(choice: ModelChoice, registry: Registry, beside: Path, scratch: Path) -> None:
    """Raise UserError where no hub could have it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    if choice.id.startswith((".", "/", "~")):
        find(choice, registry.local_models(), FileDigests(scratch.with_name("files.json")), folder=beside, offline=True)
    try:
        validate_repo_id(choice.id)
    except HFValidationError as error:
        raise UserError(f"'{choice.id}' is neither a folder here nor a hub id (owner/name)") from error


def _meant(choice: ModelChoice, registry: Registry) -> str:
    close = get_close_matches(choice.id, [copy.id for copy in registry.local_models()], n=1)
    return f"; did you mean '{close[0]}', which is installed?" if close else ""


def requested(recipe: Any) -> set[int]:
    """Return the numbers of dimensions that a recipe asks its model for."""
    sizes: set[int] = set()
    for _, stage in recipe.stages():
        if stage.kind in ("loss", "evaluator"):
            for name in ("dims", "dimensions"):
                value = getattr(stage, name, None) or ()
                sizes.update((value,) if isinstance(value, int) else value)
        if extra := getattr(stage, "extra", None):
            sizes.update(extra.get("mrl_dims") or ())
    return sizes
