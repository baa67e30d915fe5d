"""The share of the tuned model is chosen under a limit on what the mix may lose elsewhere."""

from __future__ import annotations

import json
import math
from typing import Literal

import pytest

from embedrun import Context, Evaluator, Scores
from embedrun.plan import keyed
from embedrun.testing import small_set, tiny_model
from embedrun_plugins.stages.mergers.search import Search


class Sums(Evaluator):
    """Scores a mix by its share, which the sum of its weights tells: more is better on dev, worse elsewhere."""

    type: Literal["sums"] = "sums"
    falls: float = 0.0
    """How much it falls from the base to the tuned model; below 0, how much it rises."""

    def score(self, model, data, split):
        share = float(next(iter(model.parameters())).detach().flatten()[0]) - 1
        return {"ndcg@10": 0.8 - self.falls * share}

    def compare(self, ctx, scores):
        raise NotImplementedError

    def run(self, ctx, data, model):
        return Scores.write(ctx.out, {})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a base whose weights are all 1, and a tuned model whose are all 2."""
    import torch
    from sentence_transformers import SentenceTransformer

    made = []
    for value in (1.0, 2.0):
        model = tiny_model(tmp_path_factory.mktemp("model") / "tiny")
        loaded = SentenceTransformer(str(model.path), device="cpu")
        with torch.no_grad():
            for parameter in loaded.parameters():
                parameter.fill_(value)
        loaded.save_pretrained(str(model.path), create_model_card=False)
        made.append(model)
    return made


def merged(stage, folder, models, dev, **reports):
    for name in ("out", "state"):
        (folder / name).mkdir(parents=True)
    ctx = Context(out=folder / "out", state=folder / "state", device="cpu", **reports)
    stage.run(ctx, small_set(folder / "data"), *models, dev)
    return json.loads((folder / "out/merge_search.json").read_text())


def test_the_best_share_that_loses_little_enough_is_taken(models, tmp_path):
    notes = {}
    dev = Sums(falls=-0.1)
    free = merged(Search(), tmp_path / "free", models, dev)
    assert free["tuned"] == 1.0
    assert "drops" not in free
    stage = Search(keep=Sums(falls=0.05), max_drop=0.0201)
    limited = merged(stage, tmp_path / "limited", models, dev, on_note=notes.__setitem__)
    assert limited["tuned"] == 0.4
    assert [entry["tuned"] for entry in limited["drops"]] == [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], "best on dev first"
    assert math.isclose(limited["drops"][-1]["drop"], 0.05, abs_tol=1e-6)
    assert notes["falls elsewhere by"]["1"] == 0.05


def test_where_every_share_loses_too_much_the_mix_is_the_base(models, tmp_path):
    warnings = []
    stage = Search(weights=(0.5, 1.0), keep=Sums(falls=0.5), max_drop=0.02)
    result = merged(stage, tmp_path / "none", models, Sums(falls=-0.1), on_warning=warnings.append)
    assert result["tuned"] == 0
    (warning,) = warnings
    assert warning == (
        "no share of the tuned model scores better on the dev split and falls by 0.02 at most elsewhere: "
        "the mix is the base itself"
    )


def test_a_limit_needs_both_what_and_how_much():
    assert list(Search(max_drop=0.02).faults()) == ["max_drop: of what? name an evaluator: keep: {type: general}"]
    assert list(Search(keep=Sums()).faults()) == ["keep: how much may 'sums' fall? Set max_drop, such as 0.02"]


def test_the_limit_is_part_of_the_key_only_where_it_is_set():
    assert keyed(Search()).keys() == {"type", "weights", "metric", "split"}
    assert keyed(Search(keep=Sums(), max_drop=0.02))["max_drop"] == 0.02


def test_general_can_be_kept(project):
    tiny_model(project.folder / "model/tiny")
    rows = [{"anchor": f"where is thing {n}", "positive": f"Thing {n} is kept in room {n}."} for n in range(24)]
    project.write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    project.write(
        "r.yaml",
        "model: ./model/tiny\nsource: {type: pairs, path: pairs.jsonl, holdout: {test: 0.25, dev: 0.25}}\n"
        "loss: multiple_negatives_ranking\nevaluator: [information_retrieval, general]\n"
        "trainer: {type: sentence_transformers, batch_size: 8, max_steps: 1}\n"
        "merge: {type: search, weights: [0.5, 1.0], keep: {type: general, sets: [everyday]}, max_drop: 0.02}\n",
    )
    done = project.run("r.yaml", "--json")
    assert done.code == 0, done.err
    assert set(done.json["scores"]["general"]) == {"base", "tuned", "merged"}
