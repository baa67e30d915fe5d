"""A recipe with a reranker, from its check to its report."""

from __future__ import annotations

import json

import pytest

from embedrun import RunRecord
from embedrun.testing import tiny_model

RECIPE = """
model: ./tiny
source: {type: pairs, path: pairs.jsonl, holdout: 0.25}
evaluator: {type: information_retrieval}
reranker:
  type: cross_encoder
  model: ./tiny-plain
  loss: binary_cross_entropy
  trainer: {max_steps: 3, batch_size: 8, learning_rate: 1e-3}
  negatives: {type: dense, range: [0, 20], per_query: 3, sampling: top}
  depth: 20
"""


@pytest.fixture
def written(project):
    """Writes a recipe beside its data and a tiny model."""
    things = ("lamp", "river", "stone", "boat", "garden", "window")
    rows = [
        {"anchor": f"where is the {thing} {kind}?", "positive": f"The {thing} {kind} is kept in room {n} of house {m}."}
        for n, thing in enumerate(things)
        for m, kind in enumerate("abcdef")
    ]
    project.write("pairs.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    tiny_model(project.folder / "tiny")

    def write(text=RECIPE):
        return project.write("r.yaml", text)

    return write


TRAINED = RECIPE[RECIPE.index("  loss:") : RECIPE.index("  depth:")]
WRONG = {
    "no negatives": (
        "  negatives: {type: dense, range: [0, 20], per_query: 3, sampling: top}\n",
        "",
        "reranker.loss: 'binary_cross_entropy' needs negatives; add a miner under 'reranker.negatives'",
    ),
    "no teacher": ("binary_cross_entropy", "margin_mse", "reranker.loss: 'margin_mse' needs a teacher's scores"),
    "no such loss": ("binary_cross_entropy", "lamda", "there is no rerankerloss 'lamda'; did you mean 'lambda'?"),
    "no trainer": (
        "  trainer: {max_steps: 3, batch_size: 8, learning_rate: 1e-3}\n",
        "",
        "reranker: is trained with a loss and a trainer; name both",
    ),
    "too deep": ("depth: 20", "depth: 200", "the evaluator keeps 100 of each query; add 200 to its cut-offs"),
    "no such model": ("./tiny-plain", "./none", "reranker: model: no such folder"),
    "judged in between": ("{max_steps: 3,", "{eval_strategy: epoch, max_steps: 3,", "a reranker is not judged while"),
    "nothing to deploy": (
        TRAINED,
        "deployer: {type: directory, path: out, deploys: reranker}\n",
        "there is no reranker to deploy: the recipe trains none",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_check_refuses(project, written, name):
    before, after, message = WRONG[name]
    written(RECIPE.replace(before, "") + after if name == "nothing to deploy" else RECIPE.replace(before, after))
    outcome = project.run("check", "r.yaml")
    assert outcome.code == 2
    assert message in outcome.err


def test_a_limit_on_the_pair_needs_a_reranker(project, written):
    limit = "{type: information_retrieval, require: [{metric: ndcg@10, reranked: true, better_than: base}]}"
    written(RECIPE.split("reranker:", maxsplit=1)[0].replace("{type: information_retrieval}", limit))
    outcome = project.run("check", "r.yaml")
    assert outcome.code == 2
    assert "the recipe has no reranker to be judged with" in outcome.err


@pytest.mark.slow
def test_a_run_judges_every_pair_and_deploys_the_reranker(project, written):
    limit = "{type: information_retrieval, require: [{metric: ndcg@10, reranked: true, min: 2}]}"
    written(RECIPE + "deployer: {type: directory, path: out, deploys: reranker}\n")
    planned = json.loads(project.run("plan", "r.yaml", "--json", "--offline").out)
    slots = [stage["slot"] for stage in planned["stages"]]
    assert slots.index("reranker.negatives") < slots.index("reranker")
    done = project.run("run", "r.yaml", "--offline")
    assert done.code == 0, done.err
    assert "base+tuned_reranker against base+base_reranker" in done.out
    assert "at most recall@20" in done.out
    (folder,) = (project.folder / "runs/r").iterdir()
    assert set(RunRecord.read(folder).scores["information_retrieval"]) == {
        "base",
        "base+base_reranker",
        "base+tuned_reranker",
    }
    report = (folder / "report.html").read_text()
    assert "With the reranker" in report
    assert "What each depth gains and costs" in report
    assert (project.folder / "out" / "config.json").is_file()
    # Another depth trains nothing again.
    again = project.run("plan", "r.yaml", "--json", "--offline", "--set", "reranker.depth=5")
    status = {stage["slot"]: stage["status"] for stage in json.loads(again.out)["stages"]}
    assert status["reranker"] == "cached"
    assert status["evaluator.information_retrieval.base+tuned_reranker"] == "to run"
    written(RECIPE.replace("{type: information_retrieval}", limit))
    unmet = project.run("run", "r.yaml", "--offline")
    assert unmet.code == 1
    assert "ndcg@10 of base+tuned_reranker" in unmet.err
    rehearsed = project.run("run", "r.yaml", "--rehearse")
    assert rehearsed.code == 0, rehearsed.err
    assert "reranker (cross_encoder)" in rehearsed.out
    reproduced = project.run("reproduce", str(folder), "--offline")
    assert reproduced.code == 0, reproduced.out + reproduced.err
