"""LangChain's embeddings from a deployed model: `from embedrun.langchain import EmbedrunEmbeddings`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from embedrun_plugins.services.endpoints.client import Client
from embedrun_plugins.services.endpoints.connect import ClientOptions, at, of_run, on_sagemaker

try:
    from langchain_core.embeddings import Embeddings
except ImportError as error:
    raise ImportError(
        "embedrun.langchain needs the package 'langchain-core', which is not installed; pip install "
        "'embedrun[langchain]'"
    ) from error


class EmbedrunEmbeddings(Embeddings):
    """Embeds through a model that was deployed: queries and documents each with their own prompt.

    `EmbedrunEmbeddings.from_run("runs/quickstart")` takes address, prompts and key's variable from the run's record;
    `EmbedrunEmbeddings("http://localhost:8080", query_prompt="query")` asks any server that speaks TEI's `/embed`;
    `EmbedrunEmbeddings.from_sagemaker("my-endpoint", query_prompt="query")` asks a SageMaker endpoint.

    The options are those of `ClientOptions`. No token or key but the one named for it is sent to a server. Calls raise
    UserError where something must change first, StageError where the endpoint fails in spite of several tries.
    """

    def __init__(self, url: str | Client, **options: Any) -> None:
        """Ask a server by its address."""
        self._client = url if isinstance(url, Client) else at(url, ClientOptions(**options))

    @classmethod
    def from_run(
        cls, run: str | Path, *, deployer: str | None = None, runs: str | Path = "runs", **options: Any
    ) -> Self:
        """Ask what a run deployed, or a recipe's latest run; `deployer` names one of several endpoints."""
        return cls(of_run(run, deployer, Path(runs), ClientOptions(**options)))

    @classmethod
    def from_sagemaker(
        cls, endpoint: str, *, region: str | None = None, profile: str | None = None, **options: Any
    ) -> Self:
        """Ask a SageMaker endpoint by its name."""
        return cls(on_sagemaker(endpoint, region, profile, ClientOptions(**options)))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._client.embed(texts, "document")

    def embed_query(self, text: str) -> list[float]:
        return self._client.embed([text], "query")[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return await self._client.embed_async(texts, "document")

    async def aembed_query(self, text: str) -> list[float]:
        return (await self._client.embed_async([text], "query"))[0]

    def close(self) -> None:
        """Let go of connections; the next call makes new ones."""
        self._client.close()
