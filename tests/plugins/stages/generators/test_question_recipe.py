"""A recipe from passages to scores by style: questions in styles, joint ones, judged and thinned."""

from __future__ import annotations

import json
import re

import pytest

import fake_llm
from embedrun import RunRecord
from embedrun.testing import tiny_model
from fake_services import serving

SOURCE = '''
from typing import Literal
from embedrun import Context, Document, RetrievalSet, Source, hookimpl

ROOMS = "anchor lamp river stone cloud copper garden violin harbour pepper window saddle".split()

class Passages(Source):
    """Passages without questions."""
    type: Literal["passages"] = "passages"
    def columns_given(self):
        return frozenset()
    def run(self, ctx: Context) -> RetrievalSet:
        documents = [
            Document.of(
                f"House-{n} keeps its {ROOMS[n % 12]} lantern in the {ROOMS[(n + 5) % 12]} room since {1900 + n}.",
                split="test" if n % 2 else "train",
            )
            for n in range(48)
        ]
        return RetrievalSet.write(ctx.out, documents=documents, queries=[], qrels={})

@hookimpl
def embedrun_stages():
    return [Passages]
'''
RECIPE = """
model: ./model
plugins: [passages.py]
source: {{type: passages}}
generator:
  type: openai
  model: m
  base_url: {url}/v1
  price: {{input: 1, output: 1}}
  styles: {{factual: 0.5, how_to: 0.5}}
  multi_hop: {{share: 0.25}}
filters:
  - type: judge
    service: openai
    model: m
    base_url: {url}/v1
    threshold: 2
    splits: [train, test]
    labels: labels.csv
    price: {{input: 1, output: 1}}
    budget_calls: {calls}
  - {{type: similar_queries, threshold: 0.9999}}
loss: multiple_negatives_ranking
trainer: {{type: sentence_transformers, epochs: 1, batch_size: 16}}
evaluator: {{type: information_retrieval, ndcg_at_k: [10]}}
"""


@pytest.fixture
def folder(project):
    tiny_model(project.folder / "model")
    project.write("passages.py", SOURCE)
    rows = [f"What is known of House-{n}?,House-{n} keeps its lamp.,{'no' if n % 3 else 'yes'}" for n in range(12)]
    project.write("labels.csv", "\n".join(["question,passage,label", *rows]))
    return project


def test_questions_go_through_the_funnel_and_a_raised_budget_pays_for_the_rest_alone(folder):
    model = fake_llm.FakeModel(fake_llm.Troubles(always_garbage=9, refusal=12))
    with serving(*fake_llm.routes(model)) as services:
        folder.write("recipe.yaml", RECIPE.format(url=services.url, calls=60))
        assert folder.run("run", "recipe.yaml", "--until", "source").code == 0
        planned = {stage["slot"]: stage for stage in folder.run("plan", "recipe.yaml", "--json").json["stages"]}
        assert planned["generator"]["forecast"]["requests"] == 48
        assert planned["filters.0.judge"]["forecast"]["requests"] == "at most 96"
        assert planned["filters.0.judge"]["forecast"]["USD"].startswith("at most about 0.0")
        stopped = folder.run("run", "recipe.yaml")
        assert stopped.code != 0
        assert "budget_calls: 60 requests are allowed" in stopped.err
        before = len(services.asked)
        folder.write("recipe.yaml", RECIPE.format(url=services.url, calls=1000))
        finished = folder.run("run", "recipe.yaml")
        assert finished.code == 0, finished.err
        bodies = [json.dumps(request[1], sort_keys=True) for request in services.asked]
        assert len(bodies) == len(set(bodies)), "nothing is paid for twice"
        assert len(services.asked) > before
    shown = finished.out
    for line in ("passages asked about", "new questions", "after judge", "after similar_queries", "in all"):
        assert line in shown, shown
    assert re.search(r"The judge agrees with people on \d+ labels in", shown)
    assert "ndcg@10 by style" in shown
    record = RunRecord.read(max((folder.folder / "runs/recipe").iterdir()))
    notes = {stage.slot: stage.notes for stage in record.stages()}
    judged = notes["filters.0.judge"]
    total = next(line for line in shown.splitlines() if line.startswith("in all")).split()
    requests = sum(
        notes[slot]["requests_sent"] + notes[slot]["answers_reused"] for slot in ("generator", "filters.0.judge")
    )
    assert int(total[3].replace(",", "")) == requests == len(bodies)
    assert judged["malformed"] > 0
    assert judged["refused"] > 0
    (row,) = [row for row in record.comparisons["information_retrieval"] if "by_style" in row]
    assert {part["style"] for part in row["by_style"]} == {"factual", "how_to"}
    assert sum(part["queries"] for part in row["by_style"]) == row["queries"]
    page = (record.folder / "report.html").read_text("utf-8")
    for words in ("Questions step by step", "Questions by style", "NDCG@10 by style", "kappa"):
        assert words.lower() in page.lower()


def test_a_rehearsal_goes_through_all_of_it_and_asks_nobody(folder):
    model = fake_llm.FakeModel()
    with serving(*fake_llm.routes(model)) as services:
        folder.write("recipe.yaml", RECIPE.format(url=services.url, calls=1000))
        rehearsed = folder.run("recipe.yaml", "--rehearse")
        assert rehearsed.code == 0, rehearsed.out + rehearsed.err
        assert not services.asked
    assert "m is not called" in rehearsed.out
