"""The recipe: one declared fine-tuning, and the rules that tie its stages together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from embedrun import stages as kinds
from embedrun.model_settings import ModelChoice
from embedrun.stage import Stage

_MOST_SEEDS = 100
"""That a number may stand for."""


def _listed(value: Any) -> Any:
    return value if value is None or isinstance(value, (list, tuple)) else [value]


def _model_of(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


class Recipe(BaseModel):
    """What to start from, what to train on, how to train, how to judge, and where to put the result."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, protected_namespaces=())

    name: str = Field(min_length=1, pattern=r"^\w[\w.-]*$")
    """Name of the run's folder; by default the recipe file's name."""
    description: str = ""
    """What the recipe is for."""
    model: Annotated[ModelChoice, BeforeValidator(_model_of)]
    """The model to start from: a hub id, a path, or a mapping with prompts, lengths and so on."""
    seed: int = Field(42, ge=0, lt=2**32)
    """Seeds everything that is random."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = ()
    """Seeds to train with, each its own training of the same recipe, as in [1, 2, 3]; by default once, with `seed`. A
    number up to 100, as in 3, stands for so many from `seed` on. The first one's model is deployed."""
    plugins: tuple[str, ...] = ()
    """Local Python files that bring stages of your own, relative to the recipe."""
    source: kinds.Source
    """Where texts and judgements come from."""
    generator: kinds.Generator | None = None
    """Makes queries for documents that have none."""
    filters: Annotated[tuple[kinds.Filter, ...], BeforeValidator(_listed)] = ()
    """Remove what should not be trained on or judged by, in this order."""
    negatives: kinds.Miner | None = None
    """Adds hard negatives."""
    loss: kinds.Loss | None = None
    """What training minimises. Without loss and trainer, the model is only evaluated."""
    trainer: kinds.Trainer | None = None
    """Fine-tunes the model."""
    merge: kinds.Merger | None = None
    """Mixes the tuned model with the one it started from."""
    evaluator: Annotated[tuple[kinds.Evaluator, ...], BeforeValidator(_listed)] = ()
    """Score the model before and after. One, or a list."""
    compare_with: Annotated[tuple[kinds.Embedder, ...], BeforeValidator(_listed)] = ()
    """Other models to score on the same queries, such as those behind an API. One, or a list."""
    reranker: kinds.Reranker | None = None
    """Re-orders what the models find; trained from the same data, and judged together with each of them."""
    deployer: Annotated[tuple[kinds.Deployer, ...], BeforeValidator(_listed)] = ()
    """Make the result available. One, or a list."""
    runtime: kinds.Runtime | None = None
    """Where to run; by default in this process."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, value: Any, info: ValidationInfo) -> Any:
        counted = range(value) if type(value) is int and 0 < value <= _MOST_SEEDS else None
        return value if counted is None else [info.data.get("seed", 0) + number for number in counted]

    @field_validator("generator", "negatives", "merge", mode="before")
    @classmethod
    def _none_means_absent(cls, value: Any) -> Any:
        return None if value == "none" or (isinstance(value, Mapping) and dict(value) == {"type": "none"}) else value

    def stages(self) -> Iterator[tuple[tuple[str | int, ...], Stage]]:
        """Yield every stage with its path in the recipe."""
        for key, value in self:
            items: list[tuple[tuple[str | int, ...], Any]] = [((key,), value)]
            if isinstance(value, tuple):
                items = [((key, index), item) for index, item in enumerate(value)]
            for path, stage in items:
                if isinstance(stage, Stage):
                    yield from _with_nested(path, stage)

    def dump(self) -> dict[str, Any]:
        """Return the recipe as JSON, with every default written out."""
        return self.model_dump(mode="json", serialize_as_any=True)


def _with_nested(path: tuple[str | int, ...], stage: Stage) -> Iterator[tuple[tuple[str | int, ...], Stage]]:
    yield path, stage
    for key, value in stage:
        if isinstance(value, Stage):
            yield from _with_nested((*path, key), value)
