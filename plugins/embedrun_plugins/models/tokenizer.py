"""A model's tokenizer and reading length, without loading the model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun.artifacts import Model
from embedrun.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_AT_A_TIME = 256
_UNLIMITED = 10**9
"""tokenizers without a limit of their own say 10^30."""
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""Names under which sentence-transformers looks for a document's prompt, in this order."""


def tokenizer_of(model: Model) -> Tokenizer:
    """Return the model's tokenizer, neither cutting nor padding. Raises DataError where it has no fast one."""
    from tokenizers import Tokenizer

    folder = _transformer(model.path)
    file = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else _converted(folder, model)
    except Exception as error:
        raise DataError(f"{model.path}: its tokenizer cannot be loaded: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _converted(folder: Path, model: Model) -> Tokenizer:
    from transformers import AutoTokenizer

    trust = model.settings.trust_remote_code
    loaded: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust)
    if not loaded.is_fast:
        raise DataError("it has no fast tokenizer (tokenizer.json)")
    tokenizer: Tokenizer = loaded.backend_tokenizer
    return tokenizer


def lengths(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[int]:
    """Yield the number of tokens of each text, special tokens not counted."""
    rest = iter(texts)
    while some := list(islice(rest, _AT_A_TIME)):
        yield from map(len, tokenizer.encode_batch_fast(some, add_special_tokens=False))


def document_room(model: Model, tokenizer: Tokenizer) -> int | None:
    """Return how many tokens of a document the model reads, beside its prompt and special tokens; None for any."""
    limit = model.settings.max_length or _own_limit(_transformer(model.path))
    if limit is None:
        return None
    prompt = next(lengths(tokenizer, [_document_prompt(model)]))
    return max(0, limit - prompt - tokenizer.num_special_tokens_to_add(False))


def _own_limit(folder: Path) -> int | None:
    """Return the length that sentence-transformers cuts at: the saved one, else the tokenizer's and the positions'."""
    saved = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    if isinstance(saved, int):
        return saved
    limits = (
        _json(folder / "tokenizer_config.json").get("model_max_length"),
        _json(folder / "config.json").get("max_position_embeddings"),
    )
    return min((limit for limit in limits if isinstance(limit, int) and 0 < limit < _UNLIMITED), default=None)


def _document_prompt(model: Model) -> str:
    if model.settings.prompts is not None:
        return model.settings.prompts.document
    saved = _json(model.path / "config_sentence_transformers.json").get("prompts") or {}
    return next((str(saved[name]) for name in _DOCUMENT_PROMPTS if saved.get(name)), "")


def _transformer(path: Path) -> Path:
    """Return the folder of the model's first module."""
    modules: Any = _json(path / "modules.json")
    return path / str(modules[0].get("path") or "") if isinstance(modules, list) and modules else path


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
