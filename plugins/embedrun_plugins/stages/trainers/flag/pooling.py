"""How a model reads texts and makes vectors of them, as FlagEmbedding must be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoTokenizer

from embedrun.artifacts import Model, Role
from embedrun.errors import UserError
from embedrun_plugins.models.model_files import ModelFiles

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

POOLINGS = {"cls": "cls", "mean": "mean", "lasttoken": "last_token"}
"""FlagEmbedding's names of the poolings that it has."""
_ANOTHER = "train this model with the trainer sentence_transformers"


@dataclass(frozen=True)
class Encoding:
    """The contract of a model, in FlagEmbedding's terms."""

    folder: Path
    """Where the transformer and its tokenizer are."""
    pooling: str
    normalize: bool
    prompts: dict[Role, str]
    max_length: int | None
    """Tokens that the model reads of each text."""

    @classmethod
    def of(cls, model: Model, loaded: SentenceTransformer) -> Encoding:
        """Raises UserError where FlagEmbedding would make other vectors of it, or cannot train it."""
        prompts: dict[Role, str] = {
            "query": loaded.prompts.get("query") or "",
            "document": loaded.prompts.get("document") or "",
        }
        pooling = _pooling(list(loaded), prompted=any(prompts.values()))
        return cls(
            folder=_folder(model),
            pooling=pooling,
            normalize=isinstance(loaded[-1], Normalize),
            prompts=prompts,
            max_length=loaded.max_seq_length,
        )

    def require_same_tokens(self, loaded: SentenceTransformer, texts: Sequence[str], *, trusted: bool) -> None:
        """Raise UserError where FlagEmbedding, which puts a prompt before a text, would read other tokens."""
        tokenizer: Any = AutoTokenizer.from_pretrained(str(self.folder), trust_remote_code=trusted)
        for prompt in self.prompts.values():
            expected = loaded.preprocess(list(texts), prompt=prompt or None)["input_ids"].tolist()
            whole = [prompt + text for text in texts]
            limit: dict[str, Any] = {"max_length": self.max_length} if self.max_length else {}
            if expected != tokenizer(whole, padding=True, truncation=bool(limit), **limit)["input_ids"]:
                raise UserError(f"FlagEmbedding tokenizes this model's texts differently than it does; {_ANOTHER}")


def _pooling(modules: Sequence[object], *, prompted: bool) -> str:
    names = [type(module).__name__ for module in modules]
    match modules:
        case [Transformer(), Pooling() as pooling] | [Transformer(), Pooling() as pooling, Normalize()]:
            pass
        case _:
            allowed = "a transformer, a pooling and perhaps a normalisation"
            cut = " (a model cut to model.dimensions has a Dense layer)" if "Dense" in names else ""
            raise UserError(f"FlagEmbedding trains {allowed}, but this model is {', '.join(names)}{cut}; {_ANOTHER}")
    mode = pooling.pooling_mode
    if not isinstance(mode, str) or mode not in POOLINGS:
        allowed = ", ".join(POOLINGS)
        raise UserError(f"FlagEmbedding has no pooling '{mode}', as this model has; allowed: {allowed}; {_ANOTHER}")
    if prompted and not pooling.include_prompt:
        raise UserError(f"this model leaves prompts out of its vectors, which FlagEmbedding cannot; {_ANOTHER}")
    return POOLINGS[mode]


def _folder(model: Model) -> Path:
    folder = ModelFiles.read(model.path).folder
    if (folder / "adapter_config.json").exists():
        raise UserError(f"{folder}: holds an adapter, which FlagEmbedding would not train; merge it into the model")
    return folder
