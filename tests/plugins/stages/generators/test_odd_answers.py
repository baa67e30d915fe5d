"""A server of a language model may answer anything: the budget holds, the key stays here, the run goes on or ends."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from embedrun.errors import StageError, UserError
from embedrun.hashing import value_digest
from embedrun_plugins.services import openai as openai_service
from embedrun_plugins.services.answer_cache import Answers
from embedrun_plugins.services.attempts import counted_by
from embedrun_plugins.services.endpoints.http_transport import HttpTransport
from embedrun_plugins.services.endpoints.transports import Unanswered
from embedrun_plugins.services.failed_attempts import FailedAttempts
from embedrun_plugins.services.language_models import bedrock_converse
from embedrun_plugins.services.language_models.budget import Allowance, Budget
from embedrun_plugins.stages.generators.openai import OpenAI
from fake_services import Reply, Services, reply, serving

QUESTIONS = "1. What is the lamp made of?\n2. Where is the river found today?"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def chat(text: Any, usage: Any = USAGE) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return reply(
        {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    )


@pytest.fixture
def server() -> Iterator[Services]:
    with serving() as services:
        yield services


def answer_with(server: Services, answer: Callable[[int], Reply]) -> None:
    """Let the server answer by the number of the request, from 1."""

    def route(_: re.Match[str], __: dict[str, Any]) -> Reply:
        return answer(len(server.asked))

    server.routes.append((re.compile("/v1/chat/completions"), route))


def test_a_request_that_fails_and_its_retries_count(server, ask, passages):
    answer_with(server, lambda n: chat(QUESTIONS) if n == 1 else reply({"error": {"message": "boom"}}, 500))
    with pytest.raises(StageError, match="budget_calls: 5 requests are allowed, 5 requests are spent"):
        ask(OpenAI(model="m", base_url=f"{server.url}/v1", budget_calls=5, max_failed=1), passages())
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    "usage", [None, {}, {**USAGE, "prompt_tokens": -9, "completion_tokens": 0}, {"prompt_tokens": "many"}]
)
def test_a_server_that_counts_no_tokens_does_not_switch_the_budget_off(server, ask, passages, usage):
    answer_with(server, lambda _: chat(QUESTIONS, usage))
    with pytest.raises(StageError, match="budget_tokens: 4,000 tokens are allowed"):
        ask(OpenAI(model="m", base_url=f"{server.url}/v1", budget_tokens=4000), passages())
    assert 1 <= len(server.asked) <= 5


@pytest.mark.parametrize(
    "content", ["1. Where is the lamp \ud83d?\n2. Where is the river?", "[" * 3000, [{"type": "text"}]]
)
def test_an_absurd_answer_ends_one_request_and_not_the_run(server, ask, passages, content):
    answer_with(server, lambda n: chat(content if n == 3 else QUESTIONS))
    ran = ask(OpenAI(model="m", base_url=f"{server.url}/v1", max_failed=0.5), passages())
    assert ran.notes["passages_without"] <= 1


def test_a_key_that_the_server_repeats_is_not_repeated_here(server, ask, passages, monkeypatch):
    key = "planted-key-0123456789abcdef"
    monkeypatch.setenv("PLANTED_KEY", key)
    answer_with(server, lambda _: reply({"error": {"message": f"Incorrect API key provided: Bearer {key}"}}, 401))
    with pytest.raises(UserError, match=r"Incorrect API key provided: Bearer \(key\)") as caught:
        ask(OpenAI(model="m", base_url=f"{server.url}/v1", api_key_env="PLANTED_KEY"), passages())
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "limit", "said"), [("budget_calls", 5, "5 requests"), ("budget_tokens", 6000, "tokens")]
)
def test_what_failed_in_earlier_runs_counts(server, ask, passages, key, limit, said):
    answer_with(server, lambda n: chat(QUESTIONS) if n == 1 else reply({"error": {"message": "boom"}}, 500))
    stage = OpenAI(model="m", base_url=f"{server.url}/v1", max_failed=1, **{key: limit})
    sent = []
    for _ in range(3):
        with pytest.raises(StageError, match=rf"{key}: .*{said} are spent.*attempts failed, which count, too"):
            ask(stage, passages())
        sent.append(len(server.asked))
    assert sent[0] > 1
    assert sent == sent[:1] * 3


def test_a_server_that_is_not_running_takes_nothing_of_the_budget(server, ask, passages, monkeypatch):
    monkeypatch.setattr(openai_service, "TRIES", 2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UserError, match="nothing answers there"):
        ask(OpenAI(model="m", base_url=f"http://127.0.0.1:{port}/v1", budget_calls=1, limit=1), passages())
    answer_with(server, lambda _: chat(QUESTIONS))
    ask(OpenAI(model="m", base_url=f"{server.url}/v1", budget_calls=1, limit=1), passages())


def test_neither_does_aws_that_cannot_be_reached(tmp_path):
    failed = FailedAttempts(Answers(tmp_path / "answers"))
    hold = Budget(None, Allowance(calls=1), most_output=16).hold(
        {"system": "", "prompt": "x"}, partial(failed.add, "x")
    )
    with counted_by(hold):
        bedrock_converse._sending()
        bedrock_converse._answered(exception=EndpointConnectionError(endpoint_url="https://nowhere.invalid"))
    assert failed.get_all(["x"]) == [(0, 0)]


def test_what_was_sent_when_a_run_is_killed_counts_in_the_next(server, tmp_path, passages):
    answer_with(server, lambda _: chat(QUESTIONS))
    request = {"service": "openai", "model": "m", "system": "", "prompt": "x", "parameters": {}}
    answers = Answers(tmp_path / "answers")
    budget = Budget(None, Allowance(calls=1), most_output=16)
    hold = budget.hold(request, partial(FailedAttempts(answers).add, value_digest(request)))
    hold.sending()  # and nothing more: the process is gone
    assert FailedAttempts(answers).get_all([value_digest(request)]) == [(1, 1)]


class _Trickle(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    within = "body"

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "1000")
        if self.within == "body":
            self.end_headers()
        self.flush_headers()
        for number in range(100):
            try:
                self.wfile.write(b" " if self.within == "body" else f"x-{number}: a\r\n".encode())
            except OSError:
                return
            time.sleep(0.05)

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("within", ["headers", "body"])
def test_an_answer_that_trickles_in_is_not_waited_for_for_ever(ask, passages, monkeypatch, within):
    monkeypatch.setattr(openai_service, "_SECONDS", 0.5)
    monkeypatch.setattr(openai_service, "TRIES", 1)
    monkeypatch.setattr(_Trickle, "within", within)
    with trickling() as url:
        started = time.monotonic()
        with pytest.raises(StageError, match=rf"{url}/v1: no whole answer within 0.5 s"):
            ask(OpenAI(model="m", base_url=f"{url}/v1"), passages())
        assert time.monotonic() - started < 4


@pytest.mark.parametrize("within", ["headers", "body"])
def test_neither_is_an_endpoint_s(monkeypatch, within):
    monkeypatch.setattr(_Trickle, "within", within)
    with trickling() as url, closing(HttpTransport(url, seconds=0.5)) as transport:
        started = time.monotonic()
        with pytest.raises(Unanswered, match="no answer in time"):
            transport.send(b"{}")
        assert time.monotonic() - started < 4


@contextmanager
def trickling() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Trickle)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()
