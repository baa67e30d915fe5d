"""How the embedding models of Amazon Bedrock are asked, and how they answer.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v3.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from embedrun.artifacts import Role

FamilyName = Literal["titan_v2", "titan_v1", "cohere_v3"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """Models that are asked alike."""

    texts: int
    """In a request, at most."""
    letters: int
    """Of a text, at most: a longer one is refused by the service."""
    dimensions: tuple[int, ...]
    """That vectors can be cut to, the full ones first."""
    cuts: bool = False
    """Whether dimensions and normalisation can be chosen."""


FAMILIES: dict[FamilyName, Family] = {
    "titan_v2": Family(texts=1, letters=50_000, dimensions=(1024, 512, 256), cuts=True),
    "titan_v1": Family(texts=1, letters=50_000, dimensions=(1536,)),
    "cohere_v3": Family(texts=96, letters=2_048, dimensions=(1024,)),
}
KNOWN: dict[str, FamilyName] = {
    "amazon.titan-embed-text-v2": "titan_v2",
    "amazon.titan-embed-text-v1": "titan_v1",
    "amazon.titan-embed-g1-text-02": "titan_v1",
    "cohere.embed-english-v3": "cohere_v3",
    "cohere.embed-multilingual-v3": "cohere_v3",
}
"""By the part of a model's id that follows its region, if there is one, and precedes its revision."""


def family_of(model: str) -> FamilyName | None:
    """Return a model's family by its id (or the id in its inference profile's), if that tells."""
    return next((family for name, family in KNOWN.items() if f".{model}".find(f".{name}") >= 0), None)


def asked(family: FamilyName, texts: Sequence[str], role: Role, parameters: Json) -> Json:
    """Return the body of a request."""
    if family == "cohere_v3":
        read_as = {"query": "search_query", "document": "search_document"}[role]
        return {"texts": list(texts), "input_type": read_as, "truncate": "END"}
    return {"inputText": texts[0], **parameters}


def answered(family: FamilyName, body: Json) -> tuple[list[list[float]], int]:
    """Return the vectors and the tokens that were counted, if they were. Raises KeyError where the body has none."""
    if family == "cohere_v3":
        vectors = body["embeddings"]
        return (vectors["float"] if isinstance(vectors, dict) else vectors), 0
    return [body["embedding"]], int(body.get("inputTextTokenCount") or 0)
