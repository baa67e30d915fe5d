"""A language model that judges questions: what stays, what it costs, whether it agrees with people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import fake_llm
from embedrun import Rehearsal
from embedrun.artifacts import Document, Judgement, Query, RetrievalSet
from embedrun.context import Context
from embedrun.errors import DataError, StageError
from embedrun.plan import keyed
from embedrun_plugins.cli.rehearsal.no_network import quiet
from embedrun_plugins.services.language_models.llm_service import Reply
from embedrun_plugins.stages.filters.judge import Judge
from embedrun_plugins.stages.filters.judge_request import verdict
from fake_services import Services, serving

PRICE = {"input": 1000, "output": 1000}


@pytest.fixture(autouse=True)
def _no_real_service(monkeypatch, tmp_path) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def model() -> fake_llm.FakeModel:
    return fake_llm.FakeModel()


@pytest.fixture
def server(model) -> Iterator[Services]:
    with serving(*fake_llm.routes(model)) as services:
        yield services


@pytest.fixture
def judge(server):
    def make(service: str = "openai", **values: Any) -> Judge:
        where = {"base_url": f"{server.url}/v1"} if service == "openai" else {"endpoint_url": server.url}
        return Judge(service=service, **{"model": "llama", "threshold": 3, **where, **values})

    return make


def question(number: int) -> str:
    return f"What is kept in room {number}?"


def passage(number: int) -> str:
    return f"Room {number} holds the {'copper' if number % 2 else 'silver'} lantern of house {number * 7}."


def score(number: int) -> int:
    return fake_llm._number(question(number)) % 5 + 1


@pytest.fixture
def data(made) -> RetrievalSet:
    return made(train=[(question(n), passage(n)) for n in range(40)], test=[(question(99), passage(99))])


@pytest.mark.parametrize("service", ["openai", "bedrock"])
def test_questions_below_the_threshold_go_and_a_second_run_asks_nothing(judge, server, data, sift, service):
    left = sift(judge(service, price=PRICE), data)
    good = {(question(n), passage(n)) for n in range(40) if score(n) >= 3}
    assert left.pairs() == good
    assert left.pairs("test") == {(question(99), passage(99))}
    assert left.notes["judged"] == left.notes["requests_sent"] == len(server.asked) == 40
    assert left.notes["below_threshold"] == left.notes["train_queries_removed"] == 40 - len(good)
    assert sum(left.notes["scores"].values()) == 40
    assert left.notes["usd"] > 0
    again = sift(judge(service, concurrency=1), data)
    assert (again.notes["requests_sent"], again.notes["answers_reused"], len(server.asked)) == (0, 40, 40)
    assert again.pairs() == good


def test_a_malformed_judgement_is_asked_for_once_again_and_then_dropped_or_kept(judge, model, server, data, sift):
    model.troubles = fake_llm.Troubles(always_garbage=4)
    bad = {n for n in range(40) if fake_llm._number(f"always_garbage {question(n)}") % 4 == 0}
    dropped = sift(judge(), data)
    assert bad
    assert dropped.notes["malformed"] == dropped.notes["asked_again"] == len(bad)
    assert len(server.asked) == 40 + len(bad)
    assert not {question(n) for n in bad} & {text for text, _ in dropped.pairs()}
    assert any("got no judgement" in warning and "taken out" in warning for warning in dropped.warnings)
    kept = sift(judge(unjudged="keep"), data)
    assert len(server.asked) == 40 + len(bad)
    assert {question(n) for n in bad} <= {text for text, _ in kept.pairs()}


def test_a_judgement_that_is_malformed_once_counts_the_second_time(judge, model, server, data, sift):
    model.troubles = fake_llm.Troubles(garbage=4)
    left = sift(judge(), data)
    assert left.notes["malformed"] == 0
    assert left.notes["asked_again"] > 0
    assert left.pairs() == {(question(n), passage(n)) for n in range(40) if score(n) >= 3}


def test_refusals_are_counted_apart_and_not_asked_again(judge, model, server, data, sift):
    model.troubles = fake_llm.Troubles(refusal=6, content_filter=7)
    left = sift(judge(), data)
    assert left.notes["refused"] > 2
    assert (left.notes["malformed"], left.notes["asked_again"], len(server.asked)) == (0, 0, 40)


def test_a_budget_that_ends_in_the_middle_is_raised_without_paying_twice(judge, model, server, data, sift):
    model.troubles = fake_llm.Troubles(always_garbage=5)
    bad = sum(fake_llm._number(f"always_garbage {question(n)}") % 5 == 0 for n in range(40))
    with pytest.raises(StageError, match=r"budget_calls: 25 requests are allowed.*raise the budget to go on"):
        sift(judge(budget_calls=25), data)
    assert model.answered == len(server.asked) == 25
    with pytest.raises(StageError, match="budget_calls"):
        sift(judge(budget_calls=25), data)
    assert len(server.asked) == 25
    left = sift(judge(budget_calls=100), data)
    assert len(server.asked) == 40 + bad
    assert left.notes["requests_sent"] == 15 + bad
    sift(judge(budget_calls=40 + bad), data)
    assert len(server.asked) == 40 + bad


def test_a_dollar_budget_covers_labels_too(judge, server, data, sift, tmp_path):
    (tmp_path / "labels.csv").write_text(f'question,passage,label\n"{question(1)}","{passage(1)}",yes\n', "utf-8")
    with pytest.raises(StageError, match="budget: 4 USD"):
        sift(judge(labels=tmp_path / "labels.csv", price=PRICE, budget=4), data)
    assert 0 < len(server.asked) < 41


def test_a_question_of_several_passages_is_judged_once_with_all(judge, server, sift, tmp_path):
    documents = [Document.of(passage(n)) for n in range(3)]
    joint = Query.of(question(1), passages_needed=2)
    single = Query.of(question(2))
    lines = [Judgement(joint.id, documents[0].id), Judgement(joint.id, documents[1].id)]
    lines += [Judgement(single.id, documents[1].id), Judgement(single.id, documents[2].id)]
    data = RetrievalSet.write(tmp_path / "in", documents=documents, queries=[joint, single], qrels={"train": lines})
    left = sift(judge(threshold=min(score(1), score(2)) if min(score(1), score(2)) > 1 else 2), data)
    assert left.notes["judged"] == len(server.asked) == 3
    body = next(str(request[1]) for request in server.asked if question(1) in str(request[1]))
    assert passage(0) in body
    assert passage(1) in body
    assert "2 passages that should answer it only together" in body


def test_agreement_with_people_is_measured(judge, server, data, sift, tmp_path):
    people = {n: score(n) >= 3 if n % 8 else score(n) < 3 for n in range(32)}
    rows = [f'"{question(n)}";"{passage(n)}";{"yes" if good else "no"}' for n, good in people.items()]
    (tmp_path / "labels.csv").write_text("\n".join(["Question;Passage;Label", *rows]), "utf-8")
    left = sift(judge(labels=tmp_path / "labels.csv"), data)
    found = left.notes["agreement"]
    assert (found["labels"], found["units"], found["unjudged"]) == (32, 32, 0)
    assert found["agreement"] == 28 / 32
    assert found["kappa_low"] < found["kappa"] < found["kappa_high"]
    assert left.notes["kappa"].startswith(f"{found['kappa']:.2f} (95% interval ")
    assert len(server.asked) == 40, "what is labelled is asked about once"


def test_a_judge_that_agrees_no_more_than_chance_is_told(judge, data, sift, tmp_path):
    rows = [json.dumps({"query": question(n), "document": passage(n), "label": n % 2}) for n in range(30)]
    (tmp_path / "labels.jsonl").write_text("\n".join(rows), "utf-8")
    left = sift(judge(labels=tmp_path / "labels.jsonl"), data)
    assert any("beyond chance" in warning for warning in left.warnings)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("question,passage\na,b\n", "has no column 'label'"),
        ("question,passage,label\na,b,perhaps\n", r"labels.csv:2: 'perhaps' is neither yes, no nor a number"),
        ("question,passage,label\na,b,4\nc,d,9\n", r"labels.csv:3: 9 is no score from 1 to 5"),
        ("question,passage,label\na,,yes\n", r"labels.csv:2: 'passage' is empty"),
        ("question,passage,label\na,b,1\nc,d,1\n", "every label is 1, which may mean yes or the score"),
        ("question,passage,label\n", "holds no label"),
        ("", "holds no label"),
    ],
)
def test_labels_that_cannot_be_read_are_refused_with_their_place(
    judge, server, data, sift, tmp_path, written, sentence
):
    (tmp_path / "labels.csv").write_text(written, "utf-8")
    with pytest.raises(DataError, match=sentence):
        sift(judge(labels=tmp_path / "labels.csv"), data)
    assert not server.asked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"score": 4}', 4),
        ('<think>{"score": 1}</think> {"score": 4}', 4),
        ('Sure!\n```json\n{"reason": "a } brace", "score": "4"}\n```', 4),
        ("**Score:** 4/5", 4),
        ("The score is 4 out of 5.", 4),
        ("4", 4),
        ("4.5", 4.5),
        ('{"rating": 4.0, "clarity": 2}', 4),
        ('{"score": 6}', "malformed"),
        ('{"score": true}', "malformed"),
        ('{"score": NaN}', "malformed"),
        ('{"score": 4} or {"score": 2}', "malformed"),
        ("4 of 7 facts", "malformed"),
        ("Score: 4/10", "malformed"),
        ('{"score": "high"}', "malformed"),
        ("", "malformed"),
        ("I'm sorry, but I can't rate this.", "refused"),
        ("[" * 2000 + '{"score":' * 2000, "malformed"),
    ],
)
def test_a_score_is_read_however_it_is_written_and_nothing_else_is_one(text, expected):
    found = verdict(Reply(text), (1, 5))
    assert (found.score or found.why) == expected


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("service: openai, threshold: 6", "threshold: 6 would keep all or nothing; it must be above 1 and at most 5"),
        ("service: openai, threshold: 1", "must be above 1 and at most 5"),
        ("service: openai, scale: [5, 1]", "scale: the lowest score (5) must be below the highest (1)"),
        ("service: openai, region: us-east-1", "region: belongs to service: bedrock, but service is openai"),
        ("service: openai, prompt: 'Rate {query} by {passage}'", "did you mean '{question}'?"),
        ("service: openai, prompt: 'Rate {question}'", "prompt: '{passage}' is not used"),
        ("service: openai, budget: 5", "budget: the price of 'm' is not known"),
        ("service: openai, labels: none.csv", "none.csv: no such file"),
        ("service: ollama", "'ollama' is not allowed; allowed: 'openai' or 'bedrock'"),
        ("service: openai, base_url: 'http://localhost:1/v1/chat/completions'", "leave out what comes after /v1"),
    ],
)
def test_check_refuses_a_wrong_judge(project, written, sentence):
    project.write("rows.jsonl", '{"question": "q", "answer": "a"}\n')
    project.write(
        "recipe.yaml",
        "model: sentence-transformers/all-MiniLM-L6-v2\n"
        "source: {type: pairs, path: rows.jsonl, columns: {anchor: question, positive: answer}}\n"
        f"filters:\n  - {{type: judge, model: m, {written}}}\n"
        "loss: multiple_negatives_ranking\ntrainer: sentence_transformers\n",
    )
    shown = project.run("check", "recipe.yaml")
    assert shown.code == 2
    assert sentence in shown.err, shown.err


def test_what_cannot_change_the_verdict_is_not_in_the_key(judge, tmp_path):
    base = keyed(judge())
    assert keyed(judge(budget=5, price=PRICE, concurrency=2, budget_calls=9)) == base
    assert keyed(Judge(service="openai", model="llama", threshold=3)) == base
    assert keyed(judge(unjudged="keep")) != base
    assert not judge().uses_model()


def test_a_rehearsal_asks_nobody_and_reads_the_reply_as_a_run_does(data, tmp_path):
    rehearsal = Rehearsal(tmp_path)
    stage = Judge(service="openai", model="gpt-4o-mini", budget_calls=100).rehearsal(rehearsal)
    (tmp_path / "out").mkdir()
    with quiet():
        left = stage.run(Context(out=tmp_path / "out", state=tmp_path, answers=tmp_path / "a", offline=True), data)
    assert len(left.queries) == 41
    assert any("is not called" in note.sentence for note in rehearsal.notes)


def test_a_plan_estimates_the_judge(data):
    forecast = Judge(service="openai", model="m", price=PRICE).forecast(data)
    assert forecast["requests"] == 40
    assert forecast["USD"].startswith("about ")
    assert Judge(service="openai", model="m").forecast(None) == {}
