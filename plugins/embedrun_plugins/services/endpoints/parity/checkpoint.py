"""The checkpoint's own vectors, as it should be read and as it could be misread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from embedrun.artifacts import Model, Role
from embedrun_plugins.models.model_files import DOCUMENT_PROMPTS
from embedrun_plugins.models.routes import length_of, routes_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float64]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Misreading:
    """What of a model is done otherwise; None is as the model's files say."""

    prompts: Mapping[Role, str] | None = None
    pooling: str | None = None
    length: int | None = None
    base: bool = False


class Checkpoint:
    """A model loaded here, and the one that it was trained from, where that is known."""

    def __init__(self, model: Model, base: Model | None = None) -> None:
        self._model, self._base = model, base
        self.loaded = model.load("cpu")
        self._loaded_base: SentenceTransformer | None = None

    @property
    def has_base(self) -> bool:
        return self._base is not None

    @property
    def prompts(self) -> dict[Role, str]:
        """The text that goes before each role's texts: its own prompt, else the default one."""
        prompts_by_name = self.loaded.prompts
        default = prompts_by_name.get(self.loaded.default_prompt_name or "") or ""
        return {
            role: (prompts_by_name.get(self.name_of(role) or "") or "") if self.name_of(role) else default
            for role in ROLES
        }

    def name_of(self, role: Role) -> str | None:
        """Return the name under which the model keeps a role's prompt, as encode_query and encode_document look."""
        names = ("query",) if role == "query" else DOCUMENT_PROMPTS
        return next((name for name in names if self.loaded.prompts.get(name) is not None), None)

    @property
    def pooling(self) -> str | None:
        modes = [module.pooling_mode for module in self.loaded if hasattr(module, "pooling_mode")]
        return modes[0] if len(modes) == 1 and isinstance(modes[0], str) else None

    @property
    def length(self) -> int | None:
        return length_of(self.loaded)

    @property
    def positions(self) -> int | None:
        """Tokens that the transformer has positions for."""
        config = getattr(getattr(self.loaded, "transformers_model", None), "config", None)
        count = getattr(config, "max_position_embeddings", None)
        return count if isinstance(count, int) else None

    def vectors(self, texts: Sequence[str]) -> dict[Role, Vectors]:
        """Return (texts, dimensions) for each role, as the model's contract says."""
        encode = {"query": self.loaded.encode_query, "document": self.loaded.encode_document}
        return {role: _array(encode[role](list(texts), show_progress_bar=False)) for role in ROLES}

    def misread(self, texts: Sequence[str], how: Misreading) -> dict[Role, Vectors]:
        """Return the same when something is done otherwise."""
        loaded = self._of_base() if how.base else self.loaded
        prompts = how.prompts or self.prompts
        routes = routes_of(loaded)
        readings = {role: (prompts[role], routes.get(role)) for role in ROLES}
        options: dict[str | None, dict[str, Any]] = {None: {}, **{route: {"task": route} for route in routes.values()}}
        with _changed(loaded, how.pooling, how.length or self.length):
            vectors = {
                (prompt, route): _array(
                    loaded.encode(list(texts), prompt=prompt, show_progress_bar=False, **options[route])
                )
                for prompt, route in set(readings.values())
            }
        return {role: vectors[readings[role]] for role in ROLES}

    def _of_base(self) -> SentenceTransformer:
        if self._loaded_base is None:
            if self._base is None:
                raise ValueError("there is no other model")
            self._loaded_base = self._base.load("cpu")
        return self._loaded_base


@contextmanager
def _changed(loaded: SentenceTransformer, pooling: str | None, length: int | None) -> Iterator[None]:
    from sentence_transformers.sentence_transformer.modules import Pooling

    modules, length_before = list(loaded), loaded.max_seq_length
    try:
        for index, module in enumerate(modules):
            if pooling and isinstance(module, Pooling):
                loaded[index] = Pooling(module.embedding_dimension, pooling_mode=pooling)
        if length:
            loaded.max_seq_length = length
        yield
    finally:
        if length:
            loaded.max_seq_length = length_before
        for index, module in enumerate(modules):
            loaded[index] = module


def _array(encoded: Any) -> Vectors:
    return np.asarray(encoded, np.float64)
