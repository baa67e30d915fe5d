"""Running here what the container will run, before anything is uploaded."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun_plugins.services.endpoints.transports import Refused
from embedrun_plugins.services.sagemaker.archive import CODE


@dataclass(frozen=True)
class Here:
    """An unpacked archive, asked through its own script."""

    folder: Path
    script: ModuleType
    loaded: Any

    @classmethod
    def of(cls, folder: Path) -> Here:
        """Load it. Raises UserError where its script cannot."""
        spec = importlib.util.spec_from_file_location("embedrun_trial", folder / CODE)
        assert spec is not None  # noqa: S101  # for the type checker: a file's spec is never None
        assert spec.loader is not None  # noqa: S101
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        try:
            return cls(folder, script, script.model_fn(str(folder)))
        except (ValueError, KeyError, OSError, RuntimeError) as error:
            raise UserError(f"the Hugging Face container could not load the model: {error}") from error

    @property
    def where(self) -> str:
        return "inference.py, run here"

    def send(self, body: bytes) -> bytes:
        try:
            return json.dumps(self.script.predict_fn(json.loads(body), self.loaded)).encode()
        except ValueError as error:
            raise Refused(400, str(error)) from error

    async def send_async(self, body: bytes) -> bytes:
        return await asyncio.to_thread(self.send, body)

    def close(self) -> None:
        """Keep nothing open."""


def tried(folder: Path, model: Model, least: float | None) -> float:
    """Prove that an unpacked archive gives the model's vectors; return the worst cosine.

    Raises UserError where it cannot be loaded, StageError where the vectors are others.
    """
    from embedrun_plugins.services.endpoints.parity.gate import Gate

    proof = Gate.of(model, None, least).prove(Here.of(folder))
    proof.require()
    return proof.closeness.cosine if proof.closeness else 0.0
