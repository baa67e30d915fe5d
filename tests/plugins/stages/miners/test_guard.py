"""The cross-encoder that keeps answers out of the negatives, and the audit of what was mined."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embedrun import Judgement, Query, UserError
from embedrun.context import Resolver
from embedrun.errors import RequirementError, StageError
from embedrun.testing import check_stage
from embedrun_plugins.stages.miners.dense import Dense


def scores(cross_encoder, data, pairs):
    from sentence_transformers import CrossEncoder

    texts = [(data.queries[query].text, data.documents[document].full_text) for query, document in pairs]
    return CrossEncoder(str(cross_encoder), device="cpu").predict(texts, show_progress_bar=False)


def test_it_keeps_the_contract(tmp_path, model, cross_encoder):
    stage = Dense.model_validate(
        {"type": "dense", "range": "0-10", "per_query": 2, "guard": str(cross_encoder), "audit": {"sample": 5}}
    )
    check_stage(stage, tmp_path, model=model)
    assert stage.inputs() == [cross_encoder]
    assert stage.resolve(Resolver(offline=True)) == stage  # a folder has no revision that floats


def test_what_the_guard_takes_for_an_answer_is_replaced(model, make_set, make_context, cross_encoder):
    data, context = make_set(), make_context()
    guard = {"model": str(cross_encoder), "absolute_margin": 0.001}
    stage = Dense(range=(0, 200), per_query=4, near_equal=None, guard=guard)
    found = stage.run(context, data, model).negatives()
    answers = data.relevant("train")
    own = scores(cross_encoder, data, [(j.query_id, j.document_id) for j in found])
    answer = scores(cross_encoder, data, [(j.query_id, next(iter(answers[j.query_id]))) for j in found])
    assert (own < answer - 0.001 + 1e-6).all()
    assert context.notes["candidates_refused_by_guard"] > 0
    assert context.notes["candidates_judged_by_guard"] >= len(found) + context.notes["candidates_refused_by_guard"]
    plain = Dense(range=(0, 200), per_query=4, near_equal=None).run(make_context("plain"), data, model).negatives()
    without = {(j.query_id, j.document_id) for j in plain}
    before = scores(cross_encoder, data, sorted(without))
    passing = {
        pair
        for pair, score in zip(sorted(without), before, strict=True)
        if score < scores(cross_encoder, data, [(pair[0], next(iter(answers[pair[0]])))])[0] - 0.001
    }
    assert passing <= {(j.query_id, j.document_id) for j in found}


def test_a_guard_that_refuses_all_says_so(model, make_set, make_context, cross_encoder):
    guard = {"model": str(cross_encoder), "max_score": -5.0}
    with pytest.raises(UserError, match=r"\d+ were refused by the guard.*loosen its margins, limits or guard"):
        Dense(range=(0, 20), guard=guard, near_equal=None).run(make_context(), make_set(3), model)


def test_a_model_that_is_no_cross_encoder_is_refused(model, make_set, make_context, tmp_path, cross_encoder):
    from transformers import BertForSequenceClassification

    folder = tmp_path / "classes"
    BertForSequenceClassification.from_pretrained(
        cross_encoder, num_labels=3, ignore_mismatched_sizes=True
    ).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((cross_encoder / name).read_bytes())
    with pytest.raises(UserError, match="gives 3 numbers for a pair"):
        Dense(guard={"model": str(folder)}).run(make_context(), make_set(), model)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no model here"):
        Dense(guard={"model": str(empty)}).run(make_context("empty"), make_set(name="again"), model)


def test_scores_that_are_no_numbers_stop_the_run(model, make_set, make_context, tmp_path, cross_encoder):
    import torch
    from sentence_transformers import CrossEncoder

    broken = CrossEncoder(str(cross_encoder), device="cpu")
    with torch.no_grad():
        broken.model.classifier.bias.fill_(float("nan"))
    broken.save_pretrained(str(tmp_path / "nan"))
    with pytest.raises(StageError, match=r"negatives\.guard: nan gives NaN"):
        Dense(guard={"model": str(tmp_path / "nan")}).run(make_context(), make_set(), model)


@pytest.mark.parametrize("judge", ["cross-encoder", "itself"])
def test_the_audit_counts_what_its_judge_takes_for_an_answer(model, make_set, make_context, cross_encoder, judge):
    data, context = make_set(), make_context()
    audit = {"sample": 30} | ({"model": str(cross_encoder)} if judge == "cross-encoder" else {})
    mined = Dense(range=(0, 60), per_query=4, audit=audit).run(context, data, model)
    kept = json.loads((context.out / "audit.json").read_text())
    assert kept["sampled"] == len(kept["negatives"]) == 30
    mined_pairs = {(j.query_id, j.document_id) for j in mined.negatives()}
    assert {(row["query_id"], row["document_id"]) for row in kept["negatives"]} <= mined_pairs
    leads = [row["score"] - row["answer_score"] for row in kept["negatives"]]
    assert leads == sorted(leads, reverse=True)
    false = [row for row in kept["negatives"] if row["false"]]
    assert kept["false"] == len(false)
    assert all(
        row["false"] == (lead > 0) for row, lead in zip(kept["negatives"], leads, strict=True) if abs(lead) > 1e-5
    )
    assert kept["low"] <= kept["share"] <= kept["high"]
    noted = context.notes["audit"]
    assert noted["worst"][0]["negative"] == kept["negatives"][0]["negative"]
    assert context.notes["audited_false_negatives"].startswith(f"{len(false)} of 30 (")
    if judge == "cross-encoder":
        pairs = [(row["query_id"], row["document_id"]) for row in kept["negatives"]]
        given = [row["score"] for row in kept["negatives"]]
        np.testing.assert_allclose(scores(cross_encoder, data, pairs), given, atol=1e-5)


def test_too_many_false_negatives_stop_the_run_and_are_shown(model, make_set, make_context):
    stage = Dense(range=(0, 20), near_equal=None, audit={"sample": 30, "max_share": 0.1, "absolute_margin": 2.0})
    with pytest.raises(
        RequirementError, match=r"30 of 30 \(100.0%[\s\S]*max_share is 0.1[\s\S]*'where is the"
    ) as raised:
        stage.run(make_context(), make_set(), model)
    assert "its answer" in str(raised.value)


def test_faults_say_what_is_wrong():
    def faults(**fields):
        return [*Dense.model_validate({"type": "dense", **fields}).faults()]

    assert not faults(guard="cross-encoder/ms-marco-MiniLM-L6-v2", audit={"sample": 10})
    assert "no such folder" in faults(guard="./nowhere")[0]
    assert "can find no false negative" in faults(guard={"model": "a/b", "absolute_margin": None})[0]
    assert "can find no false negative" in faults(audit={"absolute_margin": None})[0]
    assert "name another model" in faults(guard="a/b", audit={"model": "a/b"})[0]
    assert "no effect without a model" in faults(audit={"revision": "main"})[0]


def test_a_teacher_scores_answers_and_negatives_alike(model, make_set, make_context, cross_encoder, corpus):
    plain = make_set(6)
    given = [Judgement(query, corpus[100].id, 0.5) for query in plain.relevant("train")]
    data = make_set(6, "given", negatives=given)
    stage = Dense(range=(0, 60), per_query=4, guard={"model": str(cross_encoder), "max_score": 2.0, "teach": True})
    context = make_context()
    mined = stage.run(context, data, model)
    assert stage.columns_given() == {"negative", "teacher_score"}
    judgements = [*mined.qrels("train"), *mined.negatives()]
    wanted = scores(cross_encoder, data, [(j.query_id, j.document_id) for j in judgements])
    np.testing.assert_allclose([j.score for j in judgements], wanted, atol=1e-5)
    assert [(j.query_id, j.document_id) for j in mined.negatives()[:6]] == [(j.query_id, j.document_id) for j in given]
    assert mined.relevant("train").keys() == data.relevant("train").keys()


def test_answers_that_a_teacher_scores_low_stay_answers(make_set, corpus):
    from embedrun_plugins.stages.miners.candidate_pool import Pool
    from embedrun_plugins.stages.miners.guard import Guard
    from embedrun_plugins.stages.miners.scorers import GuardChoice

    class Lengths:
        name = "lengths"

        def scores(self, pairs, label):
            return np.array([-len(text) for _, text in pairs], dtype=np.float32)

    data = make_set(3)
    guard = Guard(Pool.of(data, use_held_out=False, given=()), GuardChoice(model="a/b", teach=True), Lengths())
    mined = [Judgement(query, corpus[100].id, -7.0) for query in data.relevant("train")]
    positives, negatives, added = guard.taught(data, [], mined)
    longest = max(len(document.text) for document in corpus[:3])
    assert added == 1 + longest
    assert [j.score for j in positives] == [added - len(document.text) for document in corpus[:3]]
    assert [j.score for j in negatives] == [added - 7.0] * 3


def test_a_recipe_may_distil_from_the_guard(project, model, cross_encoder):
    recipe = """
model: {model}
source: {{type: pairs, path: pairs.jsonl, holdout: 2}}
negatives: {{type: dense, range: [0, 5], per_query: 1, guard: {{model: {guard}, teach: {teach}, max_score: 2}}}}
loss: distill_kl_div
trainer: sentence_transformers
"""
    rows = [{"anchor": f"where is {word}?", "positive": f"The {word} is here."} for word in ("lamp", "river", "stone")]
    project.write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for teach, code in (("true", 0), ("false", 2)):
        project.write("recipe.yaml", recipe.format(model=model.path, guard=cross_encoder, teach=teach))
        assert project.run("check", "recipe.yaml").code == code


def test_scores_of_two_kinds_are_warned_of(model, make_set, make_context, corpus):
    query = Query.of("where is the lamp?")
    data = make_set(queries=[query], qrels={"train": [Judgement(query.id, corpus[0].id, 0.87)]})
    context = make_context()
    Dense().run(context, data, model)
    assert any("do not distil from both" in warning for warning in context.warnings)
