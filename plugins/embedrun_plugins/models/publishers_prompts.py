"""Prompts that publishers document for their models, which the models' files often lack."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from embedrun.model_settings import Prompts
from embedrun_plugins.models.model_files import ModelFiles

_HUB = "https://huggingface.co/"
_SEARCHING = "Represent this sentence for searching relevant passages: "
_WEB_SEARCH = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "


@dataclass(frozen=True)
class Documented:
    """What a family's model cards say is put before texts for retrieval."""

    names: str
    """Regular expression of the models' names, without their owner, in small letters."""
    query: str
    document: str
    card: str
    """The model card that says so, on the hub."""

    @property
    def prompts(self) -> Prompts:
        return Prompts(query=self.query, document=self.document)

    @property
    def source(self) -> str:
        return _HUB + self.card


FAMILIES = (
    Documented(r"multilingual-e5-\w+-instruct", _WEB_SEARCH, "", "intfloat/multilingual-e5-large-instruct"),
    Documented(r"e5-mistral-7b-instruct", _WEB_SEARCH, "", "intfloat/e5-mistral-7b-instruct"),
    Documented(r"multilingual-e5-(small|base|large)", "query: ", "passage: ", "intfloat/multilingual-e5-base"),
    Documented(r"e5-(small|base|large)(-v2)?", "query: ", "passage: ", "intfloat/e5-base-v2"),
    Documented(r"bge-(small|base|large)-en(-v1\.5)?", _SEARCHING, "", "BAAI/bge-base-en-v1.5"),
    Documented(
        r"bge-(small|base|large)-zh(-v1\.5)?",
        "为这个句子生成表示以用于检索相关文章：",  # noqa: RUF001  # the card's own colon
        "",
        "BAAI/bge-base-zh-v1.5",
    ),
    Documented(r"nomic-embed-text-v\d.*", "search_query: ", "search_document: ", "nomic-ai/nomic-embed-text-v1.5"),
    Documented(r"modernbert-embed-\w+", "search_query: ", "search_document: ", "nomic-ai/modernbert-embed-base"),
    Documented(r"mxbai-embed-large-v1", _SEARCHING, "", "mixedbread-ai/mxbai-embed-large-v1"),
    Documented(r"uae-large-v1", _SEARCHING, "", "WhereIsAI/UAE-Large-V1"),
    Documented(r"snowflake-arctic-embed-\w+-v2\.0", "query: ", "", "Snowflake/snowflake-arctic-embed-m-v2.0"),
    Documented(
        r"snowflake-arctic-embed-(xs|s|m|l|m-long|m-v1\.5)", _SEARCHING, "", "Snowflake/snowflake-arctic-embed-m"
    ),
    Documented(r"gte-qwen(1\.5|2)-[\w.]+-instruct", _WEB_SEARCH, "", "Alibaba-NLP/gte-Qwen2-1.5B-instruct"),
    Documented(r"qwen3-embedding-[\d.]+b", _WEB_SEARCH.rstrip(" "), "", "Qwen/Qwen3-Embedding-0.6B"),
    Documented(
        r"embeddinggemma-\d+m", "task: search result | query: ", "title: none | text: ", "google/embeddinggemma-300m"
    ),
    Documented(
        r"instructor-(base|large|xl)",
        "Represent the question for retrieving supporting documents: ",
        "Represent the document for retrieval: ",
        "hkunlp/instructor-large",
    ),
)
"""Looked at in this order."""


def documented(name: str) -> Documented | None:
    """Return what is documented for a model by its hub id, or by a folder that has its name."""
    short = name.rstrip("/").rpartition("/")[2].lower()
    return next((family for family in FAMILIES if re.fullmatch(family.names, short)), None)


def lacking(path: Path, files: ModelFiles) -> str | None:
    """Say which prompts a model is documented with, where its files hold none and the recipe says nothing of them."""
    if files.settings.prompts is not None or any(files.prompts.values()):
        return None
    written = str(files.config.get("_name_or_path") or "")
    family = documented(_name(path)) or documented(written)
    if family is None:
        return None
    parts = {name: text for name, text in (("query", family.query), ("document", family.document)) if text}
    shown = ", ".join(f'{name}: "{_escaped(text)}"' for name, text in parts.items())
    return (
        f"{path}: saves no prompts, but its publisher says that texts need them ({family.source}); "
        f"set model.prompts: {{{shown}}}, or to {{}} for none"
    )


def _name(path: Path) -> str:
    """Return the name of a model by its folder, be it in the hub's cache."""
    cached = next((part for part in reversed(path.parts) if part.startswith("models--")), "")
    return cached.rpartition("--")[2] or path.name


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n")
