"""LlamaIndex's embeddings from a deployed model: `from embedrun.llama_index import EmbedrunEmbedding`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr

from embedrun_plugins.services.endpoints.client import Client
from embedrun_plugins.services.endpoints.connect import ClientOptions, at, of_run, on_sagemaker

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
except ImportError as error:
    raise ImportError(
        "embedrun.llama_index needs the package 'llama-index-core', which is not installed; pip install "
        "'embedrun[llama-index]'"
    ) from error


class EmbedrunEmbedding(BaseEmbedding):
    """Embeds through a model that was deployed: queries and documents each with their own prompt.

    Made as LangChain's `EmbedrunEmbeddings` is: `EmbedrunEmbedding.from_run("runs/quickstart")`, with an address, or
    `EmbedrunEmbedding.from_sagemaker("my-endpoint")`, and the options of `ClientOptions`. LlamaIndex hands over
    `embed_batch_size` texts at a time, which go in requests of at most `batch_size`.
    """

    _client: Client = PrivateAttr()

    def __init__(self, url: str | Client, **options: Any) -> None:
        """Ask a server by its address. What LlamaIndex itself takes, such as embed_batch_size, may be given, too."""
        fields, rest = self._parted(options)
        client = url if isinstance(url, Client) else at(url, rest)
        super().__init__(**{"model_name": client.transport.where, "embed_batch_size": 128, **fields})
        self._client = client

    @classmethod
    def class_name(cls) -> str:
        return "EmbedrunEmbedding"

    @classmethod
    def from_run(
        cls, run: str | Path, *, deployer: str | None = None, runs: str | Path = "runs", **options: Any
    ) -> Self:
        """Ask what a run deployed, or a recipe's latest run; `deployer` names one of several endpoints."""
        fields, rest = cls._parted(options)
        return cls(of_run(run, deployer, Path(runs), rest), **fields)

    @classmethod
    def from_sagemaker(
        cls, endpoint: str, *, region: str | None = None, profile: str | None = None, **options: Any
    ) -> Self:
        """Ask a SageMaker endpoint by its name."""
        fields, rest = cls._parted(options)
        return cls(on_sagemaker(endpoint, region, profile, rest), **fields)

    @classmethod
    def _parted(cls, options: dict[str, Any]) -> tuple[dict[str, Any], ClientOptions]:
        fields = {name: value for name, value in options.items() if name in cls.model_fields}
        return fields, ClientOptions(**{name: value for name, value in options.items() if name not in fields})

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._client.embed([query], "query")[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await self._client.embed_async([query], "query"))[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._client.embed([text], "document")[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._client.embed_async([text], "document"))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._client.embed(texts, "document")

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self._client.embed_async(texts, "document")

    def close(self) -> None:
        """Let go of connections; the next call makes new ones."""
        self._client.close()
