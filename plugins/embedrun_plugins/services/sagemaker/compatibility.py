"""What AWS's Hugging Face container cannot load, known from a model's files before any training."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from embedrun.model_settings import ModelSettings
from embedrun_plugins.models.model_files import ModelFiles

SINCE: Mapping[str, tuple[int, int]] = {
    "modernbert": (4, 48),
    "gemma3_text": (4, 50),
    "qwen3": (4, 51),
    "eurobert": (5, 0),
}
"""The version of transformers that first knew an architecture."""
_MODULES = ("Dense", "LayerNorm", "Normalize", "Dropout")
_VERSION = re.compile(r"transformers(\d+)\.(\d+)")


def faults(folder: Path, settings: ModelSettings | None, image: str | None) -> Iterator[str]:
    """Say what keeps the container's script from serving a model; what its files do not tell is not held against it."""
    shape = ModelFiles.read(folder, settings)
    if shape.modules[:2] != ("Transformer", "Pooling"):
        yield f"the container runs a Transformer and its Pooling, and this model is {', '.join(shape.modules)}"
    for name in shape.modules[2:]:
        if name not in _MODULES:
            yield f"the container's script knows the modules {', '.join(_MODULES)}, and this model has {name}"
    if shape.settings.trust_remote_code and "auto_map" in shape.config:
        yield "the container runs no code that comes with a model, and this model needs its own (trust_remote_code)"
    version = _VERSION.search(image or "")
    since = SINCE.get(shape.architecture or "")
    if version and since and (int(version[1]), int(version[2])) < since:
        came = ".".join(map(str, since))
        yield f"image: its transformers is older than {came}, which '{shape.architecture}' models came with"
    if shape.max_length and shape.positions and shape.max_length > shape.positions:
        yield f"max_length: {shape.max_length} tokens are read, and the model has positions for {shape.positions}"
