"""Fine-tune an embedding model from one declared recipe."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedrun.artifacts import (
        Comparison,
        Document,
        Encoder,
        Endpoint,
        Judgement,
        Model,
        Query,
        RetrievalSet,
        Scores,
    )
    from embedrun.context import Context, InputPath, Unkeyed
    from embedrun.errors import DataError, EmbedrunError, PluginError, RecipeError, StageError, UserError
    from embedrun.execution import Settings, run
    from embedrun.hookspecs import Command, LocalModel, StageReference, hookimpl
    from embedrun.model_settings import ModelSettings
    from embedrun.record import RunRecord
    from embedrun.rehearsal import Rehearsal
    from embedrun.stages import (
        Deployer,
        Embedder,
        Evaluator,
        Filter,
        Generator,
        Loss,
        Merger,
        Miner,
        Runtime,
        Source,
        Stage,
        Trainer,
    )

__all__ = [
    "Command",
    "Comparison",
    "Context",
    "DataError",
    "Deployer",
    "Document",
    "Embedder",
    "EmbedrunError",
    "Encoder",
    "Endpoint",
    "Evaluator",
    "Filter",
    "Generator",
    "InputPath",
    "Judgement",
    "LocalModel",
    "Loss",
    "Merger",
    "Miner",
    "Model",
    "ModelSettings",
    "PluginError",
    "Query",
    "RecipeError",
    "Rehearsal",
    "RetrievalSet",
    "RunRecord",
    "Runtime",
    "Scores",
    "Settings",
    "Source",
    "Stage",
    "StageError",
    "StageReference",
    "Trainer",
    "Unkeyed",
    "UserError",
    "hookimpl",
    "run",
]

_MODULES = {
    "artifacts": "Comparison Document Encoder Endpoint Judgement Model Query RetrievalSet Scores",
    "context": "Context InputPath Unkeyed",
    "errors": "DataError EmbedrunError PluginError RecipeError StageError UserError",
    "execution": "Settings run",
    "hookspecs": "Command LocalModel StageReference hookimpl",
    "model_settings": "ModelSettings",
    "record": "RunRecord",
    "rehearsal": "Rehearsal",
    "stages": "Deployer Embedder Evaluator Filter Generator Loss Merger Miner Runtime Source Stage Trainer",
}
"""Where each public name is defined; a module is imported when one of its names is first used."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names.split():
            return getattr(import_module(f"embedrun.{module}"), name)
    raise AttributeError(f"module 'embedrun' has no attribute '{name}'")
