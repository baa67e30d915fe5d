"""Fine-tune an embedding model from one declared recipe."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "artifacts": "Comparison Document Encoder Endpoint Judgement Model Query RetrievalSet Scores",
    "context": "Context InputPath Unkeyed",
    "errors": "DataError EmbedrunError PluginError RecipeError StageError UserError",
    "execution": "Settings run",
    "hookspecs": "Command LocalModel StageReference hookimpl",
    "model_settings": "ModelSettings",
    "record": "RunRecord",
    "rehearsal": "Rehearsal",
    "stage": "Stage",
    "stages": (
        "Deployer Embedder Evaluator Filter Generator Loss Merger Miner Reranker RerankerLoss Runtime Source Trainer"
    ),
}
"""Where each public name is defined; a module is imported when one of its names is first used."""

__all__ = sorted(name for names in _MODULES.values() for name in names.split())  # noqa: PLE0605  # the stub lists them


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names.split():
            return getattr(import_module(f"embedrun.{module}"), name)
    raise AttributeError(f"module 'embedrun' has no attribute '{name}'")
