"""`embedrun check`: whether a recipe can work, before anything is loaded."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from embedrun.artifacts import Model
from embedrun.errors import printable
from embedrun.execution import Loaded
from embedrun_plugins.cli.arguments import loaded, recipe
from embedrun_plugins.models.base_models import find_on_disk
from embedrun_plugins.models.model_files import ModelFiles


def configure(parser: ArgumentParser) -> None:
    recipe(parser)


def run(arguments: Namespace) -> int:
    checked = loaded(arguments)
    checked.require()
    require_usable(checked)
    stages = ", ".join(f"{stage.kind} {stage.type}" for _, stage in checked.recipe.stages())
    for line in _cut(checked):
        print(printable(line))
    print(printable(f"{checked.path}: ok: {stages}"))
    return 0


def require_usable(loaded: Loaded) -> None:
    """Raise RecipeError where the recipe's model cannot be used or served; nothing is downloaded or hashed."""
    loaded.require_usable(loaded.recipe.deployer, _model(loaded))


def _model(loaded: Loaded) -> Model | None:
    return find_on_disk(loaded.recipe.model, loaded.registry.local_models(), loaded.path.parent)


def _cut(loaded: Loaded) -> Iterator[str]:
    """Say which texts at the beginning of the source's files are longer than the model reads, if both are here."""
    from embedrun_plugins.models import cut_texts

    model, head = _model(loaded), getattr(loaded.recipe.source, "head", None)
    if model is None or head is None or not (ModelFiles.read(model.path).folder / "tokenizer.json").is_file():
        return
    measured = list(cut_texts.measure(model, head(cut_texts.SAMPLE)))
    yield from (f"warning: source: of the first texts, {lengths.sentence}" for lengths in measured if lengths.cut)
    if measured and not any(lengths.cut for lengths in measured):
        counted = " and ".join(f"{len(lengths.tokens):,} {lengths.noun}" for lengths in measured)
        yield f"source: the first {counted} are no longer than the model reads"
