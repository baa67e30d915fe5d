"""An exported folder, asked as a server would be: what whoever loads it will get."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun.artifacts import Model
from embedrun.model_settings import ModelSettings
from embedrun_plugins.services.endpoints.transports import Refused, SharedTransport

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_NO_SUCH_PROMPT = 422


@dataclass(frozen=True)
class FolderTransport(SharedTransport["SentenceTransformer"]):
    """A sentence-transformers folder; nothing is changed in what it gives, so `normalize` and `dimensions` are not."""

    path: Path
    settings: ModelSettings = field(default_factory=ModelSettings)

    @property
    def where(self) -> str:
        return str(self.path)

    def send(self, body: bytes) -> bytes:
        from embedrun_plugins.models.routes import routes_of

        request = json.loads(body)
        prompt = request.get("prompt_name")
        route = routes_of(self._client).get(prompt)
        options: dict[str, Any] = {"task": route} if route else {}
        try:
            vectors = self._client.encode(
                request["inputs"], prompt_name=prompt, **options, show_progress_bar=False, convert_to_numpy=True
            )
        except ValueError as error:
            raise Refused(_NO_SUCH_PROMPT, str(error)) from error
        return json.dumps(vectors.tolist()).encode()

    def _make(self) -> SentenceTransformer:
        return Model(self.path, self.settings).load("cpu")

    def _end(self, made: SentenceTransformer) -> None:
        """Nothing of it is open."""
