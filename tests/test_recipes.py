"""Every shipped recipe is valid, and runs: small, on a CPU, by overrides."""

from __future__ import annotations

import json
import shutil

import pytest

from embedrun.testing import small_set, tiny_model
from embedrun_plugins.services import shipped_recipes
from fake_embedders import routes as embedding_routes
from fake_llm import FakeModel
from fake_llm import routes as language_routes
from fake_services import serving

RECIPES = shipped_recipes.recipes()


@pytest.fixture
def small(project):
    """A tiny model and small data of every kind that the shipped recipes read."""
    tiny_model(project.folder / "tiny")
    small_set(project.folder / "beir")
    shutil.rmtree(project.folder / "beir/negatives")
    rows = [{"sentence1": f"where is item {n}?", "sentence2": f"Item {n} is in room {n % 7}."} for n in range(40)]
    project.write("training.json", json.dumps(rows))
    rows = [{"question": row["sentence1"], "context": row["sentence2"]} for row in rows]
    project.write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    things = {
        "lyft": ["anchor", "river", "stone", "cloud", "copper", "garden", "violin", "harbour", "pepper", "window"],
        "uber": ["saddle", "lantern", "meadow", "timber", "glacier"],
    }
    for company, words in things.items():
        paragraphs = [f"The {word} is kept in room {n} of house {n % 3}." for n, word in enumerate(words)]
        project.write(f"filings/{company}_2021.md", "\n\n".join(paragraphs))
    return project


@pytest.fixture
def bedrock(monkeypatch):
    """Bedrock's language and embedding models, on loopback."""
    with serving(*language_routes(FakeModel()), *embedding_routes()) as services:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", services.url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "none")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield services


OVERRIDES = {
    "bge_synthetic": [
        "source.size=24",
        "negatives.range=[0, 8]",
        "negatives.per_query=1",
        "trainer.max_steps=1",
        "trainer.fp16=false",
        "trainer.batch_size=4",
        "deployer.type=local",
        "deployer.port=0",
        "deployer.latency=null",
    ],
    "documents_offline": [
        "source.size=48",
        "source.holdout=2",
        "negatives.range=[0, 8]",
        "negatives.per_query=1",
        "negatives.relative_margin=null",
        "trainer.max_steps=1",
    ],
    "quickstart": ["trainer.max_steps=2"],
    "retriever_and_reranker": [
        "reranker.model=tiny-plain",
        "reranker.max_length=null",
        "trainer.max_steps=2",
        "reranker.trainer.max_steps=2",
    ],
    "sagemaker_faq": [
        "source.path=training.json",
        "trainer.max_steps=2",
        "evaluator.0.pairs.0.min=null",
        "deployer.type=local",
        "deployer.port=0",
    ],
    "evaluate": ["source.path=beir"],
    "financial_matryoshka": [
        "source.type=pairs",
        "source.path=pairs.jsonl",
        "loss.dims=[32, 16]",
        "evaluator.dimensions=[32, 16]",
        "trainer.metric_for_best_model=dim_16_ndcg@10",
        "trainer.epochs=1",
        "trainer.bf16=false",
        "trainer.tf32=null",
    ],
}


def test_every_shipped_recipe_is_tried():
    assert set(RECIPES) == set(OVERRIDES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_opens_with_what_it_is_and_how_to_run_it(name):
    head = RECIPES[name].read_text("utf-8").split("\nname:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert f"embedrun {name}" in head


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.usefixtures("bedrock")
def test_a_recipe_runs_small(small, name):
    words = [word for setting in ["model=tiny", *OVERRIDES[name]] for word in ("--set", setting)]
    done = small.run(name, *words, "--json", "--device", "cpu")
    try:
        assert done.code == 0, done.err
        assert done.json["scores"]
    finally:
        small.run("delete", name)


def test_a_benchmark_that_has_only_a_test_split_is_evaluated_but_not_trained_on(small):
    for split in ("train", "dev"):
        (small.folder / "beir/qrels" / f"{split}.tsv").unlink()
    assert small.run("check", "evaluate", "--set", "source.path=beir").code == 0
    words = ("--set", "source.type=beir", "--set", "source.path=beir", "--set", "source.holdout=null")
    trained = small.run("check", "quickstart", *words)
    assert trained.code == 2
    assert "trainer: learns from the 'train' split, but the source makes only test" in trained.err
