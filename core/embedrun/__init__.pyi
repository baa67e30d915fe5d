from embedrun.artifacts import Comparison, Document, Encoder, Endpoint, Judgement, Model, Query, RetrievalSet, Scores
from embedrun.context import Context, InputPath, Unkeyed
from embedrun.errors import DataError, EmbedrunError, PluginError, RecipeError, StageError, UserError
from embedrun.execution import Settings, run
from embedrun.hookspecs import Command, LocalModel, StageReference, hookimpl
from embedrun.model_settings import ModelSettings
from embedrun.record import RunRecord
from embedrun.rehearsal import Rehearsal
from embedrun.stage import Stage
from embedrun.stages import (
    Deployer,
    Embedder,
    Evaluator,
    Filter,
    Generator,
    Loss,
    Merger,
    Miner,
    Reranker,
    RerankerLoss,
    Runtime,
    Source,
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
    "Reranker",
    "RerankerLoss",
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
