"""A service as an Encoder: each text is asked for once, and never again."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from embedrun.artifacts import Role
from embedrun.context import Context
from embedrun.errors import DataError, StageError, UserError
from embedrun.model_settings import Prompts
from embedrun_plugins.services.answer_cache import Answers
from embedrun_plugins.stages.embedders.embedding_service import EmbeddingService, TooLong

Vectors = NDArray[np.float32]
_PLURALS: Mapping[Role, str] = {"query": "queries", "document": "documents"}
_MOST_CUTS = 8
"""How often a text is cut before a service that still finds it too long is believed to mean something else."""


@dataclass(frozen=True)
class _Embedded:
    vector: Vectors
    cut: bool
    """Whether the service read only the text's beginning."""

    @property
    def kept(self) -> dict[str, Any]:
        """As JSON: the vector's float32 numbers, little-endian, in base64."""
        return {"vector": base64.b64encode(self.vector.astype("<f4").tobytes()).decode(), "cut": self.cut}


class ServiceEncoder:
    """An Encoder (`embedrun.artifacts.Encoder`) that asks a service, a bounded number of requests at a time.

    Prompts go before the texts here. Texts that the service would refuse for their length are cut at their end, and
    counted; blank ones are not sent, and become zeros, which are similar to nothing.
    """

    similarity_fn_name = "cosine"

    def __init__(
        self,
        service: EmbeddingService,
        ctx: Context,
        *,
        name: str,
        prompts: Prompts | None = None,
        concurrency: int = 1,
    ) -> None:
        self.service, self.ctx, self.name = service, ctx, name
        self.prompts, self.concurrency = prompts or Prompts(), concurrency
        self._answers = Answers.of(ctx)
        self._open = False
        self._size: int | None = None
        self._counts: dict[str, int] = {}

    @property
    def device(self) -> torch.device:
        return torch.device(self.ctx.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def encode_query(self, inputs: list[str], *, batch_size: int, show_progress_bar: bool) -> Vectors:  # noqa: ARG002
        """Return (texts, dimensions); batches are as large as the service takes them, progress is the run's own."""
        return self._encode([self.prompts.query + text for text in inputs], "query")

    def encode_document(self, inputs: list[str], *, batch_size: int, show_progress_bar: bool) -> Vectors:  # noqa: ARG002
        """Return (texts, dimensions); batches are as large as the service takes them, progress is the run's own."""
        return self._encode([self.prompts.document + text for text in inputs], "document")

    def _encode(self, texts: list[str], role: Role) -> Vectors:
        identity = self.service.identity(role)
        requests = [{**identity, "text": text} for text in texts]
        answers = self._answers.get_all(requests)
        missing = [index for index, answer in enumerate(answers) if answer is None and texts[index].strip()]
        self._count("texts answered before", sum(answer is not None for answer in answers))
        if missing and not self._open:
            self.service.open()
            self._open = True
        for index, answer in self._asked(texts, missing, role, requests):
            answers[index] = answer
        self._tell_cut(role, sum(bool(answer and answer["cut"]) for answer in answers))
        return self._stacked(answers)

    def _asked(
        self, texts: Sequence[str], missing: Sequence[int], role: Role, requests: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Ask in batches, and yield each text's place and answer as they come; they are kept by then."""

        def ask(indices: Sequence[int]) -> list[dict[str, Any]]:
            embedded, tokens = self._embedded([texts[index] for index in indices], role)
            self._answers.keep_all((requests[index], text.kept) for index, text in zip(indices, embedded, strict=True))
            return [{**text.kept, "tokens": tokens} for text in embedded]

        most, done, label = self.service.most_texts, 0, f"{self.name}: {_PLURALS[role]} asked"
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix=self.name) as pool:
            parts = [missing[start : start + most] for start in range(0, len(missing), most)]
            waiting = {pool.submit(ask, indices): indices for indices in parts}
            try:
                for answered in as_completed(waiting):
                    indices, embedded = waiting[answered], answered.result()
                    self._count("texts asked", len(indices))
                    self._count("tokens", embedded[0]["tokens"])
                    done += len(indices)
                    self.ctx.progress(label, done, len(missing))
                    yield from zip(indices, embedded, strict=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def _embedded(self, texts: Sequence[str], role: Role, cuts: int = 0) -> tuple[list[_Embedded], int]:
        """Embed a batch, in smaller ones or with a text cut where it is too long; returns the tokens, too."""
        most = self.service.most_letters
        try:
            answer = self.service.ask([text[:most] for text in texts], role)
        except TooLong as error:
            return self._embedded_in_parts(texts, role, cuts, error)
        if len(answer.vectors) != len(texts):
            raise StageError(f"{self.name}: sent {len(answer.vectors)} vectors for {len(texts)} texts")
        vectors = [self._checked(vector) for vector in answer.vectors]
        cut = [cuts > 0 or (most is not None and len(text) > most) for text in texts]
        return [_Embedded(vector, short) for vector, short in zip(vectors, cut, strict=True)], answer.tokens

    def _embedded_in_parts(
        self, texts: Sequence[str], role: Role, cuts: int, error: TooLong
    ) -> tuple[list[_Embedded], int]:
        if len(texts) > 1:
            middle = len(texts) // 2
            first, second = (self._embedded(part, role) for part in (texts[:middle], texts[middle:]))
            return [*first[0], *second[0]], first[1] + second[1]
        length = min(len(texts[0]), self.service.most_letters or len(texts[0]))
        shorter = texts[0][: int(length * min(error.share, 0.99))]
        if cuts >= _MOST_CUTS or not shorter.strip():
            raise StageError(f"{self.name}: refuses a text of {length} characters as too long: {error}") from error
        return self._embedded([shorter], role, cuts + 1)

    def _checked(self, sent: Sequence[float]) -> Vectors:
        """Return a vector as it is kept. Raises where it is none, or not of the size that was asked for."""
        try:
            vector = np.asarray(sent, np.float32)
        except (ValueError, TypeError):
            vector = np.empty(0, np.float32)
        if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
            raise StageError(f"{self.name}: sent something that is not a vector of finite numbers: {str(sent)[:80]}")
        wanted = self.service.dimensions
        if wanted is not None and len(vector) != wanted:
            raise UserError(
                f"{self.name}: was asked for vectors of {wanted} dimensions and sent {len(vector)}; its model cannot "
                "be cut to any size, so leave 'dimensions' out or choose one that it knows"
            )
        return vector

    def _stacked(self, answers: Sequence[Mapping[str, Any] | None]) -> Vectors:
        vectors = [np.frombuffer(base64.b64decode(answer["vector"]), "<f4") if answer else None for answer in answers]
        sizes = {len(vector) for vector in vectors if vector is not None}
        if self._size is not None:
            sizes.add(self._size)
        if len(sizes) > 1:
            dimensions = ", ".join(map(str, sorted(sizes)))
            raise StageError(f"{self.name}: sends vectors of different dimensions: {dimensions}")
        if not sizes:
            raise DataError(f"{self.name}: all of the {len(answers)} texts are blank; there is nothing to ask")
        self._size = size = sizes.pop()
        stacked = np.zeros((len(vectors), size), np.float32)
        for row, vector in zip(stacked, vectors, strict=True):
            if vector is not None:
                row[:] = vector
        return stacked

    def _count(self, name: str, more: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + more
        if self._counts[name]:
            self.ctx.note(name, self._counts[name])

    def _tell_cut(self, role: Role, count: int) -> None:
        name = f"{_PLURALS[role]} cut"
        if count and not self._counts.get(name):
            self.ctx.warn(f"{_PLURALS[role]} that are longer than it reads are cut at their end")
        self._count(name, count)
