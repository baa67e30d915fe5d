"""What a plan tells of the requests to come."""

from __future__ import annotations

from embedrun_plugins.stages.generators.bedrock import Bedrock

SOURCE = """
from typing import Literal
from embedrun import Context, Document, RetrievalSet, Source, hookimpl

class Passages(Source):
    \"""Passages without questions.\"""
    type: Literal["passages"] = "passages"
    def columns_given(self):
        return frozenset()
    def run(self, ctx: Context) -> RetrievalSet:
        documents = [Document.of(f"House number {n} has a copper lantern.") for n in range(40)]
        return RetrievalSet.write(ctx.out, documents=documents, queries=[], qrels={})

@hookimpl
def embedrun_stages():
    return [Passages]
"""
RECIPE = """
model: ./model
plugins: [passages.py]
source: {type: passages}
generator: bedrock
loss: multiple_negatives_ranking
trainer: sentence_transformers
"""


def test_a_plan_tells_requests_and_price_once_the_passages_are_known(project):
    project.write("model/config.json", "{}")
    project.write("passages.py", SOURCE)
    project.write("recipe.yaml", RECIPE)
    assert project.run("plan", "recipe.yaml", "--json").json["stages"][1]["forecast"] == {}
    assert project.run("run", "recipe.yaml", "--until", "source").code == 0
    planned = {stage["slot"]: stage for stage in project.run("plan", "recipe.yaml", "--json").json["stages"]}
    assert planned["generator"]["forecast"]["requests"] == 40
    assert planned["generator"]["forecast"]["USD"].startswith("about 0.0")
    assert planned["trainer"]["forecast"] == {}


def test_a_batch_is_planned_at_half_the_price():
    batch = {"s3_uri": "s3://bucket", "role_arn": "arn:aws:iam::123456789012:role/batch"}
    assert (Bedrock(batch=batch).price_share(), Bedrock().price_share()) == (0.5, 1.0)
