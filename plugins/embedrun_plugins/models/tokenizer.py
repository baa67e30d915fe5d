"""A model's tokenizer and reading length, without loading the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun.artifacts import Model, Role
from embedrun.errors import DataError
from embedrun_plugins.models.model_files import ModelFiles

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_AT_A_TIME = 256


def tokenizer_of(model: Model) -> Tokenizer:
    """Return the model's tokenizer, neither cutting nor padding. Raises DataError where it has no fast one."""
    from tokenizers import Tokenizer

    folder = ModelFiles.read(model.path).folder
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


def room(model: Model, tokenizer: Tokenizer, role: Role) -> int | None:
    """Return how many tokens of a text the model reads, beside its role's prompt and special tokens; None for any."""
    files = ModelFiles.read(model.path, model.settings)
    limits = [limit for limit in (files.max_length, files.learned_positions) if limit]
    if not limits:
        return None
    prompt = next(lengths(tokenizer, [files.query_prompt if role == "query" else files.document_prompt]))
    return max(0, min(limits) - prompt - tokenizer.num_special_tokens_to_add(False))


def document_room(model: Model, tokenizer: Tokenizer) -> int | None:
    """Return how many tokens of a document the model reads; None for any."""
    return room(model, tokenizer, "document")
