"""The bodies that the server takes: TEI's and OpenAI's."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from embedrun_plugins.models.serving.encoders import Direction
from embedrun_plugins.models.serving.errors import RequestError


def _capitalised(direction: Any) -> Any:
    return direction.capitalize() if direction in ("left", "right") else direction


def _texts(texts: Any) -> Any:
    """Refuse token ids, as LangChain sends them by default: they are of OpenAI's vocabulary, not of this model's."""
    if isinstance(texts, list) and texts and isinstance(texts[0], (int, list)):
        langchain = "LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False"
        raise PydanticCustomError("token_ids", f"these are token ids of another vocabulary; send texts, as {langchain}")
    return texts


class Body(BaseModel):
    """A request's body; keys that are not known are ignored, as TEI does."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class TextOptions(Body):
    """How texts are read."""

    truncate: bool | None = None
    """Whether texts over the model's length are cut; false answers them with an error. By default the server's."""
    truncation_direction: Annotated[Direction, BeforeValidator(_capitalised)] = "Right"
    """The end at which they are cut: "Right" or "Left", or as huggingface_hub writes it, "right" or "left"."""
    prompt_name: str | None = None
    """Prompt put before each text: "query", "document" or another that is saved with the model."""


class Embed(TextOptions):
    """`/embed`, `/`, `/invocations`: a text or a list of texts."""

    inputs: str | list[str]
    normalize: bool | None = None
    """Whether vectors have length 1; by default yes, unless the model's own settings say no."""
    dimensions: int | None = Field(None, ge=1)
    """Leading dimensions kept; by default the model's."""


class Sentences(Body):
    """A sentence and those that it is compared with."""

    source_sentence: str
    sentences: list[str]


class Similarity(Body):
    """`/similarity`: the cosine of a sentence with each of a list."""

    inputs: Sentences
    parameters: TextOptions = TextOptions()


class Tokenize(Body):
    """`/tokenize`: a text or a list of texts."""

    inputs: str | list[str]
    add_special_tokens: bool = True


class Rerank(Body):
    """`/rerank`, `/`, `/invocations` of a reranker: a query and the texts to put in order, as TEI takes them."""

    query: str
    texts: list[str]
    raw_scores: bool = False
    """Whether scores are the model's own numbers; by default they go through a sigmoid, to lie between 0 and 1."""
    return_text: bool = False
    truncate: bool | None = None
    """Whether pairs over the model's length are cut; false answers them with an error. By default the server's."""
    truncation_direction: Annotated[Direction, BeforeValidator(_capitalised)] = "Right"


class RankDocuments(Body):
    """`/v1/rerank`, `/v2/rerank`: the same as Cohere's and Jina's clients send it."""

    query: str
    documents: list[str | dict[str, Any]]
    top_n: int | None = Field(None, ge=1)
    """How many of the best are returned; by default all."""
    return_documents: bool = False


class OpenAi(Body):
    """`/v1/embeddings`, `/embeddings`: vectors are always normalised."""

    input: Annotated[str | list[str], BeforeValidator(_texts)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)


_Body = TypeVar("_Body", bound=Body)


def parse(kind: type[_Body], body: bytes) -> _Body:
    """Read a body; raises RequestError naming the key that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        # Where a key may be a text or a list, the form that got furthest is the one that was meant.
        problem = max(error.errors(include_url=False, include_input=False), key=lambda candidate: len(candidate["loc"]))
        key = ".".join(str(part) for part in problem["loc"] if part not in {"str", "list[str]"})
        raise RequestError("Validation", f"`{key}`: {problem['msg']}" if key else problem["msg"]) from None
