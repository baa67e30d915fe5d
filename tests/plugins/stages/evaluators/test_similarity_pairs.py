"""The tutorials' own check."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from embedrun import Scores
from embedrun.artifacts import Model
from embedrun.model_settings import ModelSettings, Prompts
from embedrun.testing import check_stage, small_set, tiny_model
from embedrun_plugins.stages.evaluators.similarity_pairs import SimilarityPairs

LAMP = {"texts": ("where is the lamp?", "The lamp is kept in room 1.")}
RIVER = {"texts": ("where is the river?", "The lamp is kept in room 1."), "similar": False, "name": "river"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def measured(stage, model, tmp_path):
    return stage.score(model.load("cpu"), small_set(tmp_path / "data"), "test")


def test_each_pair_its_means_and_their_margin_are_measured(model, tmp_path):
    stage = SimilarityPairs(pairs=[LAMP, RIVER])
    found = measured(stage, model, tmp_path)
    loaded = model.load("cpu")
    expected = [float(loaded.similarity(*(loaded.encode(text) for text in pair["texts"]))) for pair in (LAMP, RIVER)]
    assert set(found) == stage.metrics() == {"pair_1", "river", "mean_similar", "mean_different", "margin"}
    assert (found["pair_1"], found["river"]) == pytest.approx(expected, abs=1e-6)
    assert found["margin"] == found["mean_similar"] - found["mean_different"]


def test_without_different_pairs_there_is_no_margin(model, tmp_path):
    stage = SimilarityPairs(pairs=[LAMP])
    assert set(measured(stage, model, tmp_path)) == stage.metrics() == {"pair_1", "mean_similar"}


def test_texts_get_the_prompts_of_their_roles(model, tmp_path):
    prompted = Model(model.path, ModelSettings(prompts=Prompts(query="river ", document="stone ")))
    plain = {"texts": ("river where is the lamp?", "stone The lamp is kept in room 1.")}
    asked = measured(SimilarityPairs(pairs=[LAMP]), prompted, tmp_path / "a")
    assert asked == measured(SimilarityPairs(pairs=[plain]), model, tmp_path / "b")
    both = measured(SimilarityPairs(pairs=[LAMP], roles=("document", "document")), prompted, tmp_path / "c")
    assert both != asked


def test_limits_hold_for_the_last_model_of_the_run(tmp_path):
    stage = SimilarityPairs(pairs=[LAMP | {"min": 0.8}, RIVER | {"max": 0.3}])
    scores = {
        role: Scores.write(tmp_path / role, {"pair_1": first, "river": second})
        for role, first, second in (("base", 0.5, 0.6), ("tuned", 0.79, 0.3))
    }
    assert list(stage.unmet(scores, None)) == ["cosine of pair_1 by tuned is 0.7900, below the least allowed, 0.8"]
    scores["merged"] = Scores.write(tmp_path / "merged", {"pair_1": 0.8, "river": 0.31})
    assert list(stage.unmet(scores, None)) == ["cosine of river by merged is 0.3100, above the most allowed, 0.3"]


def test_faults_name_what_is_wrong_with_the_pairs():
    twice = SimilarityPairs(pairs=[LAMP | {"name": "a"}, LAMP | {"name": "a"}, LAMP | {"name": "margin"}])
    assert [message.partition(";")[0] for message in twice.faults()] == [
        "pairs: two metrics would be named 'a'",
        "pairs: two metrics would be named 'margin'",
    ]
    assert list(SimilarityPairs(pairs=[{"texts": ("a", " ")}]).faults()) == ["pairs: 'pair_1' has an empty text"]
    with pytest.raises(ValidationError):
        SimilarityPairs(pairs=[LAMP | {"min": 80}])


def test_the_stage_keeps_the_contract(tmp_path):
    check_stage(SimilarityPairs(pairs=[LAMP, RIVER]), tmp_path)


def test_the_tutorial_s_pair_has_the_cosine_that_it_shows(data, minilm, tmp_path):
    answer = json.loads((data / "bedrock-faqs" / "training.json").read_text("utf-8"))[4]["sentence2"]
    stage = SimilarityPairs(pairs=[{"texts": ("What are Agents, and how can they be used?", answer)}])
    assert 0.54 <= measured(stage, Model(minilm), tmp_path)["pair_1"] <= 0.55
