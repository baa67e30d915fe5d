"""LangChain and LlamaIndex answer a retrieval question through a local endpoint, sync and async."""

import asyncio
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun.langchain import EmbedrunEmbeddings
from embedrun.llama_index import EmbedrunEmbedding
from embedrun.model_settings import ModelSettings, Prompts
from loopback import recording

ROOT = Path(__file__).parents[4]


def handbook() -> tuple[list[str], str, str]:
    """Return passages, a question and the passage that answers it, from the shipped handbook."""
    rows = [json.loads(line) for line in (ROOT / "recipes/data/handbook.jsonl").read_text("utf-8").splitlines()]
    passages = list(dict.fromkeys(row["positive"] for row in rows))[:40]
    chosen = next(
        row for row in rows if row["anchor"] == "Do stocktake results have to be in the books the same evening?"
    )
    return passages, chosen["anchor"], chosen["positive"]


@pytest.fixture
def faq(data: Path) -> tuple[list[str], str, str]:
    """Return the answers of the FAQ example, one of its questions and that question's answer."""
    rows = json.loads((data / "bedrock-faqs/training.json").read_text("utf-8"))
    return [row["sentence2"] for row in rows], "How do I get started with Bedrock?", rows[1]["sentence2"]


@pytest.fixture(params=["handbook", "faq"])
def question(request) -> tuple[list[str], str, str]:
    return handbook() if request.param == "handbook" else request.getfixturevalue("faq")


@pytest.mark.parametrize("way", ["sync", "async"])
def test_langchain_answers_through_an_endpoint(run_folder: Path, question, way: str) -> None:
    from langchain_core.vectorstores import InMemoryVectorStore

    passages, asked, answer = question
    embeddings = EmbedrunEmbeddings.from_run(run_folder)
    if way == "sync":
        store = InMemoryVectorStore.from_texts(passages, embeddings)
        (found,) = store.similarity_search(asked, k=1)
    else:

        async def search() -> list:
            store = await InMemoryVectorStore.afrom_texts(passages, embeddings)
            return await store.asimilarity_search(asked, k=1)

        (found,) = asyncio.run(search())
    embeddings.close()
    assert found.page_content == answer


@pytest.mark.parametrize("way", ["sync", "async"])
def test_llama_index_answers_through_an_endpoint(run_folder: Path, question, way: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of LlamaIndex's own parts
        from llama_index.core import VectorStoreIndex
        from llama_index.core.schema import TextNode

    passages, asked, answer = question
    embedding = EmbedrunEmbedding.from_run(run_folder)
    nodes = [TextNode(text=passage) for passage in passages]
    if way == "sync":
        index = VectorStoreIndex(nodes, embed_model=embedding)
        (found,) = index.as_retriever(similarity_top_k=1).retrieve(asked)
    else:

        async def search() -> list:
            index = VectorStoreIndex([], embed_model=embedding, use_async=True)
            await index.ainsert_nodes(nodes)
            return await index.as_retriever(similarity_top_k=1).aretrieve(asked)

        (found,) = asyncio.run(search())
    embedding.close()
    assert found.node.get_content() == answer


def test_vectors_are_the_models_by_role_in_both_frameworks(run_folder: Path, minilm: Path) -> None:
    loaded = Model(minilm, ModelSettings(prompts=Prompts(query="query: "))).load("cpu")
    query, document = loaded.encode_query(["hello"])[0], loaded.encode_document(["hello"])[0]
    assert not np.allclose(query, document, atol=1e-3)
    langchain, llama = EmbedrunEmbeddings.from_run(run_folder), EmbedrunEmbedding.from_run(run_folder)
    np.testing.assert_allclose(langchain.embed_query("hello"), query, atol=1e-5)
    np.testing.assert_allclose(langchain.embed_documents(["hello"])[0], document, atol=1e-5)
    np.testing.assert_allclose(llama.get_query_embedding("hello"), query, atol=1e-5)
    np.testing.assert_allclose(llama.get_text_embedding("hello"), document, atol=1e-5)
    langchain.close()
    llama.close()


def test_a_recipes_latest_run_is_found_by_its_name(run_folder: Path) -> None:
    embeddings = EmbedrunEmbeddings.from_run("served", runs=run_folder.parents[1], dimensions=16)
    assert len(embeddings.embed_query("hello")) == 16
    embeddings.close()


def test_huggingface_hubs_client_works_with_a_key_of_its_own(run_folder: Path) -> None:
    from huggingface_hub import InferenceClient

    url = json.loads((run_folder / "deployments/local/endpoint.json").read_text())["endpoint"]["url"]
    found = InferenceClient(model=f"{url}/embed", api_key="none").feature_extraction("hello", prompt_name="query")
    embeddings = EmbedrunEmbeddings(url, query_prompt="query")
    np.testing.assert_allclose(found[0], embeddings.embed_query("hello"), atol=1e-6)
    embeddings.close()


def test_a_run_without_endpoints_and_an_unknown_deployer_are_explained(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="deployed no 'tei' that answers; allowed: local"):
        EmbedrunEmbeddings.from_run(run_folder, deployer="tei")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "run.json").write_text("{}")
    with pytest.raises(UserError, match="deployed nothing that answers, or it was deleted"):
        EmbedrunEmbedding.from_run(tmp_path / "empty")
    with pytest.raises(UserError, match="no run here"):
        EmbedrunEmbeddings.from_run(tmp_path / "none")


def test_an_option_that_is_none_is_refused_without_repeating_a_key() -> None:
    with pytest.raises(ValueError, match="batchsize") as told:
        EmbedrunEmbeddings("http://localhost:1", batchsize=8, api_key="s3cret")
    with pytest.raises(ValueError, match="name of an environment variable") as also:
        EmbedrunEmbedding("http://localhost:1", api_key_env="sk-s3cret")
    assert "s3cret" not in str(told.value) + str(also.value)


def test_a_llama_index_embedding_shows_and_keeps_no_key() -> None:
    with recording() as recorder:
        embedding = EmbedrunEmbedding(recorder.url, api_key="s3cret", embed_batch_size=5)
        shown = repr(embedding) + str(embedding) + embedding.to_json() + str(embedding.model_dump())
        assert "s3cret" not in shown
        assert embedding.embed_batch_size == 5
        assert embedding.model_name == recorder.url
        embedding.get_text_embedding_batch(["a"] * 7)
        embedding.close()
        again = pickle.loads(pickle.dumps(embedding))
        assert again.get_text_embedding("ab") == [2.0, 1.0]
        again.close()
    assert [len(body["inputs"]) for body in recorder.bodies] == [5, 2, 1]
    assert recorder.headers[-1]["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(("module", "needed"), [("langchain", "langchain_core"), ("llama_index", "llama_index.core")])
def test_a_missing_package_is_named_with_its_extra(module: str, needed: str) -> None:
    program = (
        f"import sys; sys.modules['{needed}'] = None\ntry:\n    from embedrun.{module} import Anything\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"pip install 'embedrun[{module.replace('_', '-')}]'" in done.stdout


def test_importing_a_client_imports_nothing_heavy() -> None:
    program = "import sys; from embedrun.langchain import EmbedrunEmbeddings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "sentence_transformers", "boto3", "llama_index"} & set(done.stdout.split())


def test_the_endpoint_is_where_the_record_says(run_folder: Path) -> None:
    written = json.loads((run_folder / "deployments/local/endpoint.json").read_text())
    assert written["endpoint"]["reading"] == {"query": "query", "document": "document", "normalize": True}
    assert urlsplit(written["endpoint"]["url"]).hostname == "127.0.0.1"
