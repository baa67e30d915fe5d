"""A whole run: base, tuned and merged beside models behind every kind of service."""

from __future__ import annotations

import json

import pytest

from embedrun.plan import keyed
from embedrun.testing import small_set, tiny_model
from embedrun_plugins.stages.embedders.tei import TeiEmbedder

RECIPE = """
name: rivals
model: {{id: ./tiny, prompts: {{query: "where is "}}}}
source: {{type: beir, path: ./small}}
loss: multiple_negatives_ranking
trainer: {{type: sentence_transformers, epochs: 1, batch_size: 5, learning_rate: 1e-3}}
merge: {{type: linear, base: 0.5, tuned: 0.5}}
evaluator:
  - {{type: information_retrieval, split: train, dimensions: [16, 256]}}
  - {{type: hit_rate, split: train, at_k: [1, 3], require: [{{metric: hit_rate@3, min: 0, not_worse_than: other}}]}}
  - {{type: similarity_pairs, pairs: [{{texts: [where is the anchor?, The anchor is kept]}}]}}
compare_with:
  - {{type: bedrock, name: titan, dimensions: 512}}
  - {{type: bedrock, name: cohere, model: cohere.embed-english-v3}}
  - {{type: openai, model: BAAI/bge-base-en-v1.5, base_url: {url}/v1}}
  - {{type: tei, url: {url}}}
  - {{type: sentence_transformers, name: other, model: ./tiny}}
"""
ROLES = ("titan", "cohere", "openai", "tei", "other")


@pytest.fixture
def rivals(services, project):
    tiny_model(project.folder / "tiny", dimensions=256)
    small_set(project.folder / "small")
    project.write("rivals.yaml", RECIPE.format(url=services.url))
    return project


def test_all_are_scored_on_the_same_queries_and_told_apart(services, rivals, embedders):
    done = rivals.run("rivals.yaml", "--device", "cpu")
    assert done.code == 0, done.err
    header = next(line for line in done.out.splitlines() if "verdict" in line).split()
    assert header[:8] == ["base", "tuned", "merged", *ROLES]
    assert [line for line in done.out.splitlines() if line.startswith("merged against titan")]
    assert "its vectors have 64 dimensions, so it is not scored at 256" in done.err

    (folder,) = (rivals.folder / "runs/rivals").iterdir()
    run = json.loads((folder / "run.json").read_text())
    rows = run["comparisons"]["information_retrieval"]
    pairs = list(dict.fromkeys((row["role"], row["against"]) for row in rows))
    assert pairs == [("tuned", "base"), ("merged", "base"), *(("merged", role) for role in ROLES)]
    assert {row["metric"] for row in rows if row["against"] == "tei"} == {
        name for name in run["scores"]["information_retrieval"]["base"] if "dim_256" not in name
    }
    assert "dim_256_ndcg@10" in run["headlines"]["information_retrieval"]
    report = (folder / "report.html").read_text("utf-8")
    assert "Merged against other models" in report
    for role in ROLES:
        assert f">{role}</th>" in report
    assert "http://" not in report.split("Recipe")[0].replace("http://www.w3.org", "")

    asked = len(services.asked)
    changed = "evaluator=[{type: information_retrieval, split: train, mrr_at_k: [3]}]"
    assert rivals.run("rivals.yaml", "--device", "cpu", "--set", changed).code == 0
    assert {path for path, _, _ in services.asked[asked:]} == {"/info"}
    shown = rivals.run("show", "rivals")
    assert "merged against tei" in shown.out
    first, second = sorted((rivals.folder / "runs/rivals").iterdir())
    compared = rivals.run("compare", str(first), str(second), "--html", "two.html")
    assert compared.code == 0, compared.err
    assert "first: merged, second: merged" in compared.out


def test_a_base_alone_is_compared_with_them_too(rivals):
    alone = ["--set", "trainer=null", "--set", "loss=null", "--set", "merge=null", "--set", "evaluator.0.dimensions=[]"]
    done = rivals.run("rivals.yaml", "--device", "cpu", *alone)
    assert done.code == 0, done.err
    assert "base against titan" in done.out
    (folder,) = (rivals.folder / "runs/rivals").iterdir()
    assert "Base against other models" in (folder / "report.html").read_text("utf-8")


def test_two_of_one_name_and_rivals_that_nothing_scores_are_refused(rivals):
    twice = rivals.run("check", "rivals.yaml", "--set", "compare_with.1.name=titan")
    assert "the name 'titan' is taken already" in twice.err
    step = rivals.run("check", "rivals.yaml", "--set", "compare_with.1.name=comparison")
    assert "the name 'comparison' is taken already" in step.err


def test_one_by_another_name_is_not_scored_again():
    assert keyed(TeiEmbedder(url="http://localhost:1", name="one")) == keyed(
        TeiEmbedder(url="http://localhost:1", name="two")
    )
