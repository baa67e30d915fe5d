"""Fine-tune an embedding model from one declared recipe."""

from __future__ import annotations

from embedrun.artifacts import (
    Comparison,
    Document,
    Endpoint,
    Judgement,
    Model,
    ModelSettings,
    Query,
    RetrievalSet,
    Scores,
)
from embedrun.errors import DataError, EmbedrunError, PluginError, RecipeError, StageError, UserError
from embedrun.hookspecs import Command, LocalModel, hookimpl
from embedrun.running import Result, Settings, run
from embedrun.stages import (
    Context,
    Deployer,
    Evaluator,
    Filter,
    Generator,
    InputPath,
    Loss,
    Merger,
    Miner,
    Runtime,
    Source,
    Stage,
    Trainer,
    Unkeyed,
)

__all__ = [
    "Command",
    "Comparison",
    "Context",
    "DataError",
    "Deployer",
    "Document",
    "EmbedrunError",
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
    "Result",
    "RetrievalSet",
    "Runtime",
    "Scores",
    "Settings",
    "Source",
    "Stage",
    "StageError",
    "Trainer",
    "Unkeyed",
    "UserError",
    "hookimpl",
    "run",
]
