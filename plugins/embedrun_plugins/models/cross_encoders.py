"""Rerankers: models that read a query and a passage together and give the pair one score."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun.artifacts import Model
from embedrun.errors import DataError, StageError
from embedrun_plugins.models.load import noting_missing, require_safetensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import CrossEncoder

_CLASSIFIER, _DECODER = "ForSequenceClassification", "ForCausalLM"
_PAIRS_PER_CHUNK = 256
"""Pairs between two reports of progress."""


def is_cross_encoder(folder: Path) -> bool:
    """Say whether a folder holds a reranker, by its files."""
    return _json(folder / "config_sentence_transformers.json").get("model_type") == "CrossEncoder" or bool(
        not (folder / "modules.json").is_file() and _architecture(folder).endswith(_CLASSIFIER)
    )


def has_head(folder: Path) -> bool:
    """Say whether a folder's weights score pairs; a plain encoder's head would be random."""
    return _architecture(folder).endswith((_CLASSIFIER, _DECODER))


def faults(folder: Path) -> Iterator[str]:
    """Say why a folder's model cannot be a reranker, as far as its files tell."""
    config = _json(folder / "config.json")
    # transformers leaves its default of two labels out of the file.
    labels = len(config.get("id2label") or {}) or config.get("num_labels") or 2
    if _architecture(folder).endswith(_CLASSIFIER) and labels != 1:
        yield (
            f"{folder}: gives {labels} numbers for a pair, such as the chances of as many classes; name a "
            "cross-encoder that gives one score, or a plain encoder, which gets a head"
        )
    if not config:
        yield f"{folder}: no model here (no config.json)"


def load(model: Model, device: str | None = None, *, seed: int | None = None) -> CrossEncoder:
    """Load a reranker; the head of a plain encoder, which has none, is made up from the seed.

    Raises DataError where the folder holds no model that gives a pair one score, or one without a head and no `seed`
    is given.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers has no annotation there
    for fault in faults(model.path):
        raise DataError(fault)
    require_safetensors(model.path)
    headless = not has_head(model.path)
    if headless and seed is None:
        raise DataError(f"{model.path}: has no head that scores pairs; train it, or name a cross-encoder")
    settings = model.settings
    options = {"dtype": settings.dtype, "attn_implementation": settings.attention}
    loaded: CrossEncoder
    try:
        with noting_missing(quietly=headless) as missing, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed or 0)  # of a head that is made up; nothing else is random
            loaded = CrossEncoder(
                str(model.path),
                device=device,
                num_labels=None if _architecture(model.path).endswith(_DECODER) else 1,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, **{name: value for name, value in options.items() if value}},
            )
    except Exception as error:  # damaged files make the libraries raise errors of any kind
        raise DataError(f"{model.path}: the reranker cannot be loaded: {error}") from error
    if missing and not headless:
        some = ", ".join(sorted(missing)[:3])
        raise DataError(f"{model.path}: its weights lack {len(missing)} tensors, which would be random: {some}")
    if settings.max_length:
        loaded.max_seq_length = settings.max_length
    return loaded


def train_head(loaded: CrossEncoder) -> None:
    """Let what turns the encoder's output into a score be trained, too, where its other weights are frozen."""
    transformer: Any = loaded.transformers_model
    prefix = f"{transformer.base_model_prefix}."
    for name, parameter in transformer.named_parameters():
        if not name.startswith(prefix) and "lora_" not in name and "base_layer" not in name:
            parameter.requires_grad_(requires_grad=True)


@dataclass
class LoadedReranker:
    """A loaded reranker, which scores pairs without padding where that can be."""

    model: CrossEncoder
    name: str
    progress: Callable[[str, float, float], None] = field(default=lambda *_: None)

    def scores(self, pairs: Sequence[tuple[str, str]], label: str = "") -> NDArray[np.float32]:
        """Return (pairs,) as the model's `predict` does. Raises StageError where they are no numbers."""
        import numpy as np

        from embedrun_plugins.models.padding_free import allocation, pair_forward

        scores = np.empty(len(pairs), dtype=np.float32)
        order = np.argsort([-len(query) - len(text) for query, text in pairs], kind="stable")
        with pair_forward.padding_free_scoring(self.model), allocation.keep_freed_memory():
            for start in range(0, len(pairs), _PAIRS_PER_CHUNK):
                rows = order[start : start + _PAIRS_PER_CHUNK]
                chunk: Any = [pairs[row] for row in rows]
                scores[rows] = self.model.predict(chunk, batch_size=64, show_progress_bar=False)
                self.progress(label, start + len(chunk), len(pairs))
        if not np.isfinite(scores).all():
            raise StageError(f"{self.name}: gives NaN or infinity as a score; its training may have diverged")
        return scores


def _architecture(folder: Path) -> str:
    return str(next(iter(_json(folder / "config.json").get("architectures") or ()), ""))


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
