"""What a model's files tell of it, without loading it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from embedrun.model_settings import ModelSettings
from embedrun_plugins.models.export import POOLING_KEYS

_WITH_OFFSET = frozenset(
    {
        *("camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta"),
        *("xlm-roberta-xl", "xmod"),
    }
)
"""Architectures whose first positions belong to padding."""
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""Names under which sentence-transformers looks for a document's prompt, in this order."""
_NO_LIMIT = 10**9
"""What tokenizers name as their length where they have none is far above it."""
_LONGEST_HEADER = 100_000_000
"""Bytes that the format allows."""


@dataclass(frozen=True)
class ModelFiles:
    """A model's modules and their configurations, the recipe's contract applied."""

    folder: Path
    """Where the transformer and its tokenizer are."""
    settings: ModelSettings
    modules: tuple[str, ...]
    """Names of its modules, as in ("Transformer", "Pooling", "Normalize")."""
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The configuration of each module by its path; those of the model as a whole by what they say."""
    dense: tuple[str, ...] = ()
    """Paths of its Dense modules."""
    types: tuple[str, ...] = ()
    """Types of its modules in full, as written."""

    @classmethod
    def read(cls, folder: Path, settings: ModelSettings | None = None) -> Self:
        """Read a sentence-transformers folder, or a plain checkpoint."""
        listed = _modules(folder / "modules.json")
        entries = [(str(entry.get("type")).rsplit(".", 1)[-1], str(entry.get("path") or "")) for entry in listed]
        entries = entries or [("Transformer", ""), ("Pooling", "")]
        first = folder / entries[0][1]
        configs = {path: _object(folder / path / "config.json") for name, path in entries[1:] if path}
        configs["transformer"] = _object(first / "config.json")
        configs["pooling"] = next((configs.get(path, {}) for name, path in entries if name == "Pooling"), {})
        configs["length"] = _object(first / "sentence_bert_config.json")
        configs["tokenizer"] = _object(first / "tokenizer_config.json")
        configs["prompts"] = _object(folder / "config_sentence_transformers.json")
        dense = tuple(path for name, path in entries if name == "Dense")
        types = tuple(str(entry.get("type")) for entry in listed)
        return cls(first, settings or ModelSettings(), tuple(name for name, _ in entries), configs, dense, types)

    @property
    def config(self) -> Mapping[str, Any]:
        """The transformer's config.json; empty where it is not here."""
        return self.configs["transformer"]

    @property
    def architecture(self) -> str | None:
        return str(self.config["model_type"]) if "model_type" in self.config else None

    @property
    def pooling(self) -> tuple[str, ...]:
        """The modes that are joined; mean for a plain checkpoint, as sentence-transformers takes it."""
        if self.settings.pooling:
            return (self.settings.pooling,)
        saved = self.configs["pooling"]
        if modes := saved.get("pooling_mode"):
            return (modes,) if isinstance(modes, str) else tuple(modes)
        return tuple(mode for mode, key in POOLING_KEYS.items() if saved.get(key)) or (self._plain_pooling,)

    @property
    def _plain_pooling(self) -> str:
        """What sentence-transformers takes where nothing is saved."""
        architecture = str((self.config.get("architectures") or [""])[0])
        causal = architecture.endswith("ForCausalLM") and self.config.get("is_causal", True)
        return "lasttoken" if causal and not self.types else "mean"

    @property
    def positions(self) -> int | None:
        """How many tokens its positions allow; None where the files do not tell."""
        count = self.config.get("max_position_embeddings") or self.config.get("n_positions")
        return count - self._offset if isinstance(count, int) else None

    @property
    def _offset(self) -> int:
        return int(self.config.get("pad_token_id", 1) or 0) + 1 if self.architecture in _WITH_OFFSET else 0

    @property
    def learned_positions(self) -> int | None:
        """How many tokens it learned a position for; None where it learned none, and reads any number."""
        for file in sorted(self.folder.glob("*.safetensors")):
            for name, tensor in _header(file).items():
                if f".{name}".endswith((".position_embeddings.weight", ".wpe.weight")):
                    return int(tensor["shape"][0]) - self._offset
        return None

    @property
    def max_length(self) -> int | None:
        """How many tokens it reads; None where the files do not tell."""
        chosen = self.settings.max_length or self.configs["length"].get("max_seq_length")
        limits = (chosen,) if chosen else (self.positions, self.configs["tokenizer"].get("model_max_length"))
        return min((int(limit) for limit in limits if limit and limit < _NO_LIMIT), default=None)

    @property
    def prompts(self) -> Mapping[str, str]:
        if self.settings.prompts is not None:
            return self.settings.prompts.model_dump()
        saved = self.configs["prompts"].get("prompts") or {}
        return {str(name): str(text or "") for name, text in saved.items()}

    @property
    def document_prompt(self) -> str:
        """What the model puts before a document."""
        return next((self.prompts[name] for name in DOCUMENT_PROMPTS if self.prompts.get(name)), "")

    @property
    def query_prompt(self) -> str:
        """What the model puts before a query."""
        return self.prompts.get("query", "")

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt that the model puts before a text whose role is not said."""
        return None if self.settings.prompts is not None else self.configs["prompts"].get("default_prompt_name")

    @property
    def dtype(self) -> str:
        """The number format of its weights."""
        saved = self.config.get("dtype") or self.config.get("torch_dtype")
        return str(self.settings.dtype or saved or "float32").removeprefix("torch.")


def _modules(file: Path) -> list[dict[str, Any]]:
    """Return what modules.json lists; nothing where it is not here or holds something else."""
    listed = _json(file)
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _object(file: Path) -> dict[str, Any]:
    """Return the object that a file holds; an empty one where it is not here or holds something else."""
    value = _json(file)
    return value if isinstance(value, dict) else {}


def _json(file: Path) -> Any:
    """Return what a file holds; None where it is not here or holds no JSON."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _header(file: Path) -> dict[str, Any]:
    """Return what a safetensors file says of its tensors; nothing where it is none.

    Its first 8 bytes are the length of the JSON that follows. The library's own reader would import numpy.
    """
    try:
        with file.open("rb") as stream:
            header = json.loads(stream.read(min(int.from_bytes(stream.read(8), "little"), _LONGEST_HEADER)))
    except (OSError, ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}
