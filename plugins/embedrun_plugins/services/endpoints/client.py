"""Texts to vectors: in requests that an endpoint takes, each tried again where that may help."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from embedrun.artifacts import Role
from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun_plugins.services.endpoints.transports import (
    TOO_LARGE,
    Refused,
    Transport,
    TransportError,
    explained,
    retries,
)

_MOST_BYTES = 1_500_000
"""TEI takes bodies of 2 MB unless it is told otherwise."""
Vector = list[float]


class RequestParameters(BaseModel):
    """How an endpoint is asked, so that it reads each text as the model was trained to."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    query: str | None = None
    """Name of the prompt that it puts before queries; None where it puts none."""
    document: str | None = None
    """Name of the prompt that it puts before documents; None where it puts none."""
    normalize: bool = True
    """Whether vectors have length 1."""
    dimensions: int | None = Field(None, ge=1)
    """Leading dimensions kept, fewer than the model's; by default all."""

    def body(self, texts: Sequence[str], role: Role) -> bytes:
        """Return the request's JSON."""
        prompt = self.query if role == "query" else self.document
        request: dict[str, Any] = {"inputs": list(texts), "normalize": self.normalize, "truncate": True}
        request |= {"prompt_name": prompt} if prompt else {}
        request |= {"dimensions": self.dimensions} if self.dimensions else {}
        return json.dumps(request, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Client:
    """Asks one endpoint; threads may share it."""

    transport: Transport
    reading: RequestParameters = field(default_factory=RequestParameters)
    most_texts: int = 32
    """Texts in a request."""
    concurrency: int = 4
    """Requests at a time."""

    def embed(self, texts: Sequence[str], role: Role) -> list[Vector]:
        """Return a vector for each text.

        Raises UserError where something must change first, StageError where the endpoint fails, in spite of more tries.
        """
        parts = self._parts(texts)
        if len(parts) < 2:  # noqa: PLR2004  # one part needs no threads
            return [vector for part in parts for vector in self._embed(part, role)]
        with ThreadPoolExecutor(min(self.concurrency, len(parts))) as pool:
            return [vector for vectors in pool.map(lambda part: self._embed(part, role), parts) for vector in vectors]

    async def embed_async(self, texts: Sequence[str], role: Role) -> list[Vector]:
        """Do the same without blocking the event loop."""
        parts, room = self._parts(texts), asyncio.Semaphore(self.concurrency)

        async def embed(part: Sequence[str]) -> list[Vector]:
            async with room:
                return await self._embed_async(part, role)

        tasks = [asyncio.ensure_future(embed(part)) for part in parts]
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()  # where one failed, nobody waits for the rest
        return [vector for vectors in answers for vector in vectors]

    def answer(self, texts: Sequence[str], role: Role) -> Any:
        """Return what one request answers, as it is, for whoever judges it. Raises as `embed` does."""
        return self._parsed(self._sent(texts, role))

    def answers(self, texts: Sequence[str], role: Role) -> Iterator[tuple[Sequence[str], Any]]:
        """Yield the same of as many requests as the endpoint wants, each with its texts."""
        for part in self._parts(texts):
            yield from self._answers(part, role)

    def _answers(self, texts: Sequence[str], role: Role) -> Iterator[tuple[Sequence[str], Any]]:
        try:
            response = self.answer(texts, role)
        except _TooLargeError:
            for half in _halves(texts):
                yield from self._answers(half, role)
        else:
            yield texts, response

    def close(self) -> None:
        self.transport.close()

    def _parts(self, texts: Sequence[str]) -> list[Sequence[str]]:
        """Return the texts in parts that fit in a request. Raises UserError where one cannot be sent."""
        parts: list[list[str]] = []
        room = 0
        for number, text in enumerate(texts):
            length = 6 + self._size(text, f"text {number} of {len(texts)}")
            if not parts or len(parts[-1]) >= self.most_texts or length > room:
                parts.append([])
                room = _MOST_BYTES
            parts[-1].append(text)
            room -= length
        return list(parts)

    def _size(self, text: str, which: str) -> int:
        """Return how many bytes a text takes."""
        if not text:
            raise UserError(f"{self.transport.where}: {which} is empty; leave it out")
        try:
            return len(text.encode())
        except UnicodeEncodeError as error:
            half = f"half a character (U+{ord(text[error.start]):04X}, at {error.start})"
            raise UserError(f"{self.transport.where}: {which} holds {half}; fix how it was read") from None

    def _embed(self, texts: Sequence[str], role: Role) -> list[Vector]:
        try:
            return self._counted(texts, self._parsed(self._sent(texts, role)))
        except _TooLargeError:
            return [vector for half in _halves(texts) for vector in self._embed(half, role)]

    async def _embed_async(self, texts: Sequence[str], role: Role) -> list[Vector]:
        try:
            return self._counted(texts, self._parsed(await self._sent_async(texts, role)))
        except _TooLargeError:
            return [vector for half in _halves(texts) for vector in await self._embed_async(half, role)]

    def _sent(self, texts: Sequence[str], role: Role) -> bytes:
        from tenacity import Retrying

        with self._explained(texts):
            return Retrying(**retries())(self.transport.send, self.reading.body(texts, role))

    async def _sent_async(self, texts: Sequence[str], role: Role) -> bytes:
        from tenacity import AsyncRetrying

        with self._explained(texts):
            return await AsyncRetrying(**retries())(self.transport.send_async, self.reading.body(texts, role))

    @contextmanager
    def _explained(self, texts: Sequence[str]) -> Iterator[None]:
        try:
            yield
        except TransportError as problem:
            error = explained(self.transport.where, problem)
            raise _TooLargeError(str(error)) if len(texts) > 1 and _too_large(problem) else error from problem

    def _parsed(self, answer: bytes) -> Any:
        try:
            return json.loads(answer)
        except ValueError as error:
            raise StageError(f"{self.transport.where}: did not return JSON; is it an embedding server?") from error

    def _counted(self, texts: Sequence[str], answer: Any) -> list[Vector]:
        where = self.transport.where
        if not (isinstance(answer, list) and all(isinstance(vector, list) for vector in answer)):
            raise StageError(f"{where}: returned no list of vectors: {json.dumps(answer)[:80]}")
        if len(answer) != len(texts):
            raise StageError(f"{where}: returned {len(answer)} vectors for {len(texts)} texts")
        return answer


class _TooLargeError(EmbedrunError):
    """A request of several texts is too large for the endpoint."""


def _too_large(problem: TransportError) -> bool:
    """Say whether fewer texts may be taken: TEI answers 422 where there are too many, and says it in these words."""
    return isinstance(problem, Refused) and (
        problem.status == TOO_LARGE or "maximum allowed batch size" in problem.said
    )


def _halves(texts: Sequence[str]) -> Iterable[Sequence[str]]:
    return texts[: len(texts) // 2], texts[len(texts) // 2 :]
