"""Asking Bedrock and OpenAI-compatible servers on loopback: what comes out, what is kept, what it costs."""

from __future__ import annotations

import re
from typing import Any

import pytest

import fake_llm
from embedrun.artifacts import Document, RetrievalSet
from embedrun.errors import DataError, StageError, UserError
from embedrun.hashing import file_digest, folder_files
from embedrun.testing import check_stage
from embedrun_plugins.services import aws, openai
from embedrun_plugins.stages.generators.bedrock import Bedrock
from embedrun_plugins.stages.generators.language_model import LanguageModel
from embedrun_plugins.stages.generators.openai import OpenAI
from fake_services import reply, serving

SERVICES = ("bedrock", "openai")
PRICE = {"input": 1000, "output": 1000}


@pytest.fixture(params=SERVICES)
def stage(request, server):
    """Make a generator that asks the loopback server."""

    def make(**given: Any) -> LanguageModel:
        if request.param == "bedrock":
            return Bedrock(endpoint_url=server.url, **given)
        return OpenAI(base_url=f"{server.url}/v1", **{"model": "llama", **given})

    return make


@pytest.fixture
def chat(server):
    """Make a generator that asks the loopback server, where it does not matter which: this one is quick to connect."""

    def make(**given: Any) -> LanguageModel:
        return OpenAI(base_url=f"{server.url}/v1", **{"model": "llama", **given})

    return make


@pytest.fixture
def _few_tries(monkeypatch) -> None:
    monkeypatch.setattr(aws, "TRIES", 2)
    monkeypatch.setattr(openai, "TRIES", 2)


def digests(made: RetrievalSet) -> dict[str, str]:
    return {name: file_digest(path) for name, path in folder_files(made.path).items()}


def test_every_passage_gets_its_questions_and_a_second_run_asks_nothing(stage, server, ask, passages):
    data = passages()
    first = ask(stage(concurrency=5), data)
    assert first.notes["questions"] == len(first.made.queries) == len(first.made.qrels("train")) == 32
    assert first.notes["requests_sent"] == len(server.asked) == 16
    again = ask(stage(concurrency=1), data)
    assert len(server.asked) == 16
    assert (again.notes["requests_sent"], again.notes["answers_reused"]) == (0, 16)
    assert again.notes["input_tokens"] == first.notes["input_tokens"] > 0
    assert digests(again.made) == digests(first.made)


def test_the_stage_keeps_the_contract(stage, tmp_path):
    made = check_stage(stage(), tmp_path)
    assert len(made.qrels("train")) == 10 + 2 * 10
    assert len(made.qrels("test")) == 4


def test_the_prompt_holds_the_users_words(chat, server, ask, passages, tmp_path):
    (tmp_path / "asked.txt").write_text("who pays for it\n\nwhen was it built\n", "utf-8")
    given = {"examples": ["where is it"], "examples_file": tmp_path / "asked.txt", "language": "German"}
    ask(chat(system="Be brief.", questions_per_passage=1, **given), passages(1))
    body = str(server.asked[0][1])
    for word in (
        "where is it",
        "who pays for it",
        "when was it built",
        "Ask in German",
        "Be brief.",
        "Write 1 question",
    ):
        assert word in body


def test_a_prompt_of_ones_own_is_filled_once(chat, server, ask, tmp_path):
    text = "The {title} is {passage} in braces."
    data = RetrievalSet.write(tmp_path / "in", documents=[Document.of(text, "A title")], queries=[], qrels={})
    prompt = '{title} | <passage>{passage}</passage> | {questions_per_passage} | {"questions": []}'
    ask(chat(prompt=prompt), data)
    assert f'A title | <passage>{text}</passage> | 2 | {{"questions": []}}' in str(server.asked[0][1])


def test_long_passages_are_cut_at_a_space_and_counted(chat, server, ask, tmp_path):
    data = RetrievalSet.write(tmp_path / "in", documents=[Document.of("word " * 100)], queries=[], qrels={})
    ran = ask(chat(max_passage_characters=203), data)
    assert f"<passage>\\n{' '.join(['word'] * 40)}\\n</passage>" in str(server.asked[0][1])
    assert ran.notes["cut"] == 1
    assert "1 passages were cut at 203 characters" in ran.warnings


def test_a_limit_asks_about_a_sample_and_a_larger_one_pays_only_for_the_rest(chat, server, ask, passages):
    ask(chat(limit=4), passages())
    ask(chat(limit=9), passages())
    assert len(server.asked) == 9


def test_troubles_are_tried_again_or_counted_and_change_nothing_between_runs(stage, model, server, ask, passages):
    model.troubles = fake_llm.Troubles(
        throttle=15, break_off=15, garbage=5, refusal=8, meta_question=4, content_filter=10
    )
    data = passages(40)
    ran = ask(stage(concurrency=6), data)
    for name in ("unreadable", "refusals", "meta_questions", "declined"):
        assert ran.notes[name] > 0, name
    assert ran.notes["passages_without"] == ran.notes["refusals"] + ran.notes["declined"]
    assert f"{ran.notes['passages_without']} of 40 passages got no question" in ran.warnings
    assert not any("According to" in query.text for query in ran.made.queries.values())
    sent = len(server.asked)
    again = ask(stage(concurrency=2), data)
    assert len(server.asked) == sent
    assert digests(again.made) == digests(ran.made)


def test_a_reply_that_cannot_be_read_is_asked_for_again_but_not_for_ever(chat, model, server, ask, passages):
    model.troubles = fake_llm.Troubles(garbage=1)
    ran = ask(chat(), passages(3))
    assert (ran.notes["unreadable"], ran.notes["passages_without"]) == (3, 0)
    assert len(server.asked) == 6
    assert "Request 2" in str(server.asked[-1][1])
    model.seen.clear()
    with pytest.raises(DataError, match=r"none of 3 replies holds a question \(.*unreadable 3.*\); try another prompt"):
        ask(chat(attempts=1, temperature=0), passages(3))


def test_offline_replays_what_was_answered_and_says_what_is_missing(server, ask, passages, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
    monkeypatch.setattr(Bedrock, "stays_here", lambda _: False)
    ask(Bedrock(limit=5), passages())
    assert ask(Bedrock(limit=5), passages(), offline=True).notes["questions"] == 10
    with pytest.raises(UserError, match=r"offline: 11 of 16 requests have not been answered before"):
        ask(Bedrock(), passages(), offline=True)


def test_the_budget_stops_before_the_call_that_would_exceed_it_and_goes_on_when_raised(stage, model, ask, passages):
    data = passages()
    given = {"price": PRICE, "max_tokens": 64, "concurrency": 3}
    with pytest.raises(StageError, match=r"budget: 3 USD are allowed, [\d.]+ USD are spent") as stopped:
        ask(stage(budget=3, **given), data)
    answered = int(re.search(r"(\d+) of 16 requests are answered, and kept", str(stopped.value))[1])
    assert 0 < answered == model.answered < 16
    with pytest.raises(StageError, match="budget: 3 USD"):
        ask(stage(budget=3, **given), data)
    assert model.answered == answered
    ran = ask(stage(budget=50, **given), data)
    assert model.answered == 16
    assert ran.notes["answers_reused"] == answered
    assert ask(stage(budget=0.01, **given), data).notes["usd"] == ran.notes["usd"]
    assert any(re.fullmatch(r"questions, \d+\.\d\d USD", label) for label in ran.labels)


@pytest.mark.parametrize("budget", [2, 7])
def test_what_is_spent_stays_within_the_budget_with_many_requests_under_way(chat, model, ask, passages, budget):
    model.seconds = 0.01
    with pytest.raises(StageError, match="budget") as stopped:
        ask(chat(budget=budget, price=PRICE, max_tokens=64, concurrency=8), passages(60))
    spent = float(re.search(r"([\d.]+) USD are spent", str(stopped.value))[1])
    assert budget - 2 < spent <= budget


def test_requests_and_tokens_can_be_limited_without_a_price(chat, model, ask, passages):
    with pytest.raises(StageError, match=r"budget_calls: 7 requests are allowed, 7 requests are spent"):
        ask(chat(budget_calls=7), passages())
    assert model.answered == 7
    with pytest.raises(StageError, match=r"budget_tokens: 2,500 tokens are allowed"):
        ask(chat(budget_tokens=2500), passages())


@pytest.mark.usefixtures("_few_tries")
def test_throttled_in_spite_of_all_tries(stage, model, server, ask, passages):
    model.throttle_all = True
    with pytest.raises(StageError, match=r"throttled, even after 2 tries .* lower 'concurrency'"):
        ask(stage(), passages())
    assert len(server.asked) == 2


def test_a_session_that_has_expired_stops_at_the_first_request(server, model, ask, passages):
    model.expired = True
    with pytest.raises(UserError, match=r"the AWS session has expired .*; log in again"):
        ask(Bedrock(endpoint_url=server.url), passages())
    with pytest.raises(UserError, match=r"the key is not accepted: Incorrect API key provided; 'api_key_env' names"):
        ask(OpenAI(model="llama", base_url=f"{server.url}/v1"), passages())
    assert len(server.asked) == 2


def test_a_model_that_is_not_there_is_named_with_what_was_probably_meant(server, model, ask, passages):
    model.models = ["meta.llama3-70b-instruct-v1:0", "llama3.1"]
    with pytest.raises(UserError, match=r"cannot call the model 'meta.llama3': .*identifier is invalid; take an id"):
        ask(Bedrock(endpoint_url=server.url, model="meta.llama3"), passages())
    with pytest.raises(
        UserError, match=r"cannot call the model 'llama3': .* does not exist; did you mean 'llama3.1'\?"
    ):
        ask(OpenAI(model="llama3", base_url=f"{server.url}/v1"), passages())


@pytest.mark.usefixtures("_few_tries")
def test_where_nothing_answers_the_address_is_doubted(ask, passages):
    with pytest.raises(UserError, match=r"nothing answers there: .*127.0.0.1:9.*is the region right"):
        ask(Bedrock(endpoint_url="http://127.0.0.1:9"), passages())
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/v1: nothing answers there .*is base_url right\?"):
        ask(OpenAI(model="llama", base_url="http://127.0.0.1:9/v1"), passages())


def test_a_base_url_without_its_path_is_seen(server, ask, passages):
    with pytest.raises(UserError, match=r"there is no such path: .*; base_url mostly ends in /v1"):
        ask(OpenAI(model="llama", base_url=server.url), passages())
    assert [*OpenAI(model="m", base_url="http://here/v1/chat/completions").faults()] == [
        "base_url: ends in '/v1/chat/completions'; leave out what comes after /v1, which the client adds itself"
    ]


def test_failures_are_skipped_up_to_a_share_and_asked_for_again_later(chat, model, ask, passages):
    model.troubles = fake_llm.Troubles(always_fails=12)
    data = passages(40)
    ran = ask(chat(max_failed=0.5, concurrency=1), data)
    failed = ran.notes["failed"]
    assert 0 < failed == ran.notes["passages_without"] < 20
    model.troubles = fake_llm.Troubles()
    ran = ask(chat(max_failed=0), data)
    assert (ran.notes["requests_sent"], ran.notes["passages_without"]) == (failed, 0)


def test_failures_are_a_share_of_all_requests_not_of_the_last_attempt(chat, model, ask, passages):
    model.troubles = fake_llm.Troubles(garbage=9, always_fails=30)
    data = passages(100)
    ran = ask(chat(attempts=1, max_failed=1, temperature=0), data)
    failed, unreadable = ran.notes["failed"], ran.notes["unreadable"]
    model.seen.clear()
    model.troubles = fake_llm.Troubles(garbage=9, always_fails=30, second_fails=1)
    share = (failed + unreadable) / 100
    assert share * unreadable + 1 < unreadable
    ran = ask(chat(max_failed=share, concurrency=1), data)
    assert ran.notes["failed"] == failed + unreadable


def test_what_an_earlier_run_paid_for_a_second_attempt_counts_from_the_start(chat, model, ask, passages):
    model.troubles = fake_llm.Troubles(garbage=1)
    few = ask(chat(limit=4), passages())
    model.troubles = fake_llm.Troubles()
    with pytest.raises(StageError, match=r"budget_calls: 12 requests are allowed, 12 requests are spent"):
        ask(chat(budget_calls=12), passages())
    assert (few.notes["requests_sent"], model.answered) == (8, 12)


def test_too_many_failures_stop_the_run(chat, model, ask, passages):
    model.troubles = fake_llm.Troubles(always_fails=3)
    with pytest.raises(StageError, match=r"requests failed.*'max_failed' allows a share of 0.05, which is 2 of 40"):
        ask(chat(concurrency=1), passages(40))
    assert 0 < model.answered < 40


def test_structured_output_sends_a_schema_and_asks_for_json(server, ask, passages):
    ran = ask(OpenAI(model="llama", base_url=f"{server.url}/v1", structured_output=True), passages(2))
    body = server.asked[0][1]
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["questions"]
    assert body["max_tokens"] == 512
    assert "Reply with JSON" in body["messages"][-1]["content"]
    assert ran.notes["questions"] == 4


def test_further_fields_and_no_system_prompt_reach_the_service(server, ask, passages):
    ask(OpenAI(model="m", base_url=f"{server.url}/v1", extra={"top_k": 5}, system="", temperature=None), passages(1))
    body = server.asked[-1][1]
    assert (body["top_k"], [message["role"] for message in body["messages"]]) == (5, ["user"])
    assert "temperature" not in body
    ask(Bedrock(endpoint_url=server.url, extra={"top_k": 5}, system="", temperature=None), passages(1))
    body = server.asked[-1][1]
    assert body["additionalModelRequestFields"] == {"top_k": 5}
    assert "system" not in body
    assert body["inferenceConfig"] == {"maxTokens": 512}


def test_no_key_of_openai_goes_to_another_server(server, ask, passages, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, f"secret-{name}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: secret\nAuthorization: Bearer secret")
    ask(OpenAI(model="llama", base_url=f"{server.url}/v1"), passages(1))
    assert "secret" not in str(server.asked[0][2])
    monkeypatch.setenv("MY_KEY", "mine")
    ask(OpenAI(model="llama2", base_url=f"{server.url}/v1", api_key_env="MY_KEY"), passages(1))
    headers = {name.lower(): value for name, value in server.asked[-1][2].items()}
    assert headers["authorization"] == "Bearer mine"
    assert "secret" not in str(headers)


def test_a_redirection_is_told_and_not_followed(server, ask, passages):
    def route(*_: Any) -> Any:
        return 307, {"location": f"{server.url}/v1/chat/completions"}, b""

    with serving((r".*", route)) as elsewhere, pytest.raises(UserError, match=rf"leads to {server.url}/v1/chat.*"):
        ask(OpenAI(model="llama", base_url=f"{elsewhere.url}/v1"), passages(1))
    assert not server.asked


def test_a_key_that_cannot_be_sent_is_not_repeated(ask, passages, monkeypatch):
    monkeypatch.setenv("MY_KEY", "first-half\nsecond-half")
    with pytest.raises(UserError, match="MY_KEY holds no key") as refused:
        ask(OpenAI(model="gpt", base_url="http://127.0.0.1:9/v1", api_key_env="MY_KEY"), passages())
    assert "half" not in str(refused.value)


def test_settings_that_the_server_refuses_are_not_taken_for_passages_that_it_declines(ask, passages):
    said = "max_tokens is too large: 9999. This model supports at most 4096 completion tokens"
    with (
        serving((r".*", lambda *_: reply({"error": {"message": said, "param": "max_tokens"}}, 400))) as services,
        pytest.raises(StageError, match="answered 400: max_tokens is too large"),
    ):
        ask(OpenAI(model="gpt", base_url=f"{services.url}/v1", max_tokens=9999), passages())
    assert len(services.asked) == 1


def test_further_fields_that_would_overrule_the_stage_are_refused():
    (fault,) = OpenAI(model="m", extra={"n": 3, "top_k": 5, "stream": True}).faults()
    assert fault.startswith("extra: n, stream: ")


def test_a_missing_key_is_named(ask, passages, monkeypatch):
    with pytest.raises(UserError, match="the environment variable OPENAI_API_KEY is not set"):
        ask(OpenAI(model="gpt"), passages())
    with pytest.raises(UserError, match="the environment variable VLLM_KEY is not set"):
        ask(OpenAI(model="gpt", base_url="http://127.0.0.1:9/v1", api_key_env="VLLM_KEY"), passages())
    with pytest.raises(ValueError, match="must be the name of an environment variable"):
        OpenAI(model="gpt", api_key_env="sk-proj-0123456789abcdefgh")


def test_a_forecast_tells_requests_tokens_and_price(stage, passages):
    told = stage(price={"input": 1, "output": 1}, limit=10).forecast(passages())
    assert told["requests"] == 10
    assert told["tokens out"] == "about 500"
    assert str(told["USD"]).startswith("about 0.00")
    assert stage().forecast(None) == {}


def test_a_set_without_a_passage_to_ask_about_is_refused(chat, ask, passages):
    with pytest.raises(DataError, match="there is no passage to ask about; the set has 3 documents"):
        ask(chat(), passages(3, asked="none"))


def test_an_empty_file_of_examples_is_refused(chat, ask, passages, tmp_path):
    (tmp_path / "none.txt").write_text("\n", "utf-8")
    with pytest.raises(DataError, match=r"examples_file: .*none.txt: holds no line of text"):
        ask(chat(examples_file=tmp_path / "none.txt"), passages())
