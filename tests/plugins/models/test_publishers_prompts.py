"""Prompts that publishers document are named where a model's files lack them, and written by `init`."""

from __future__ import annotations

import json
import re

import pytest
from ruamel.yaml import YAML

from embedrun.artifacts import Model
from embedrun.model_settings import ModelSettings, Prompts
from embedrun_plugins.models import model_faults
from embedrun_plugins.models.publishers_prompts import FAMILIES, documented

WEB_SEARCH = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
SEARCHING = "Represent this sentence for searching relevant passages: "
KNOWN = {
    "intfloat/e5-small": ("query: ", "passage: "),
    "intfloat/e5-base-v2": ("query: ", "passage: "),
    "intfloat/multilingual-e5-large": ("query: ", "passage: "),
    "intfloat/multilingual-e5-large-instruct": (WEB_SEARCH, ""),
    "intfloat/e5-mistral-7b-instruct": (WEB_SEARCH, ""),
    "BAAI/bge-small-en-v1.5": (SEARCHING, ""),
    "BAAI/bge-large-en": (SEARCHING, ""),
    "BAAI/bge-base-zh-v1.5": ("为这个句子生成表示以用于检索相关文章：", ""),  # noqa: RUF001  # the card's own colon
    "nomic-ai/nomic-embed-text-v1.5": ("search_query: ", "search_document: "),
    "nomic-ai/nomic-embed-text-v2-moe": ("search_query: ", "search_document: "),
    "nomic-ai/modernbert-embed-base": ("search_query: ", "search_document: "),
    "mixedbread-ai/mxbai-embed-large-v1": (SEARCHING, ""),
    "WhereIsAI/UAE-Large-V1": (SEARCHING, ""),
    "Snowflake/snowflake-arctic-embed-m": (SEARCHING, ""),
    "Snowflake/snowflake-arctic-embed-m-v1.5": (SEARCHING, ""),
    "Snowflake/snowflake-arctic-embed-l-v2.0": ("query: ", ""),
    "Alibaba-NLP/gte-Qwen2-7B-instruct": (WEB_SEARCH, ""),
    "Qwen/Qwen3-Embedding-0.6B": (WEB_SEARCH.rstrip(" "), ""),
    "google/embeddinggemma-300m": ("task: search result | query: ", "title: none | text: "),
    "hkunlp/instructor-xl": (
        "Represent the question for retrieving supporting documents: ",
        "Represent the document for retrieval: ",
    ),
}
NONE = ["sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-m3", "thenlper/gte-base", "Alibaba-NLP/gte-modernbert-base"]


@pytest.mark.parametrize("name", KNOWN)
def test_a_family_is_known_by_its_models_names(name):
    family = documented(name)
    assert family is not None
    assert (family.query, family.document) == KNOWN[name]
    assert documented(f"./models/{name.partition('/')[2]}/") == family


@pytest.mark.parametrize("name", NONE)
def test_a_model_that_needs_none_has_none(name):
    assert documented(name) is None


def test_every_family_names_the_card_that_says_so():
    for family in FAMILIES:
        assert re.fullmatch(r"https://huggingface\.co/[\w.-]+/[\w.-]+", family.source)
        assert documented(family.card) == family


@pytest.fixture
def said(tmp_path, caplog):
    def warned(name: str, prompts: dict[str, str] | None, settings: ModelSettings | None = None, **config: str) -> str:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"")
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "modules.json").write_text('[{"path": "", "type": "sentence_transformers.models.Transformer"}]')
        if prompts is not None:
            (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
        caplog.clear()
        assert model_faults.faults(Model(folder, settings or ModelSettings())) == []
        return " ".join(record.getMessage() for record in caplog.records)

    return warned


@pytest.mark.parametrize("prompts", [None, {}, {"query": "", "document": ""}])
def test_a_folder_without_them_is_told_of(said, prompts):
    message = said("e5-base-v2", prompts)
    assert 'set model.prompts: {query: "query: ", document: "passage: "}' in message
    assert "https://huggingface.co/intfloat/e5-base-v2" in message


def test_a_copy_in_the_hubs_cache_and_one_that_says_where_it_is_from_are_known(said):
    assert "model.prompts" in said("models--BAAI--bge-base-en-v1.5/snapshots/0123abc", None)
    assert "model.prompts" in said("mine", None, _name_or_path="BAAI/bge-base-en-v1.5")
    assert r"answer the query\nQuery: " in said("gte-Qwen2-1.5B-instruct", None)


def test_a_folder_with_prompts_or_a_recipe_with_its_own_is_not(said):
    assert said("e5-base", {"query": "query: "}) == ""
    assert said("e5-large", None, ModelSettings(prompts=Prompts())) == ""
    assert said("unknown", None) == ""


@pytest.mark.parametrize("name", KNOWN)
def test_init_writes_them(project, name):
    project.write("pairs.jsonl", '{"anchor": "a", "positive": "b"}\n')
    assert project.run("init", "mine.yaml", "--model", name).code == 0
    recipe = YAML(typ="safe").load((project.folder / "mine.yaml").read_text("utf-8"))
    query, document = KNOWN[name]
    assert recipe["model"]["id"] == name
    assert recipe["model"]["prompts"] == {"query": query} | ({"document": document} if document else {})
    assert project.run("check", "mine.yaml").code == 0
