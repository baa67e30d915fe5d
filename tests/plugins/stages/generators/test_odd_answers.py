"""A server of a language model may answer anything: the budget holds, the key stays here, the run goes on or ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from embedrun.errors import StageError, UserError
from embedrun_plugins.services import openai as openai_service
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


class _Trickle(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "1000")
        self.end_headers()
        for _ in range(100):
            try:
                self.wfile.write(b" ")
            except OSError:
                return
            time.sleep(0.05)

    def log_message(self, *_: object) -> None: ...


def test_an_answer_that_trickles_in_is_not_waited_for_for_ever(ask, passages, monkeypatch):
    monkeypatch.setattr(openai_service, "_SECONDS", 0.5)
    monkeypatch.setattr(openai_service, "TRIES", 1)
    trickling = ThreadingHTTPServer(("127.0.0.1", 0), _Trickle)
    trickling.daemon_threads = True
    thread = Thread(target=trickling.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{trickling.server_address[1]}/v1"
    started = time.monotonic()
    with pytest.raises(StageError, match=rf"{url}: no whole answer within 0.5 s"):
        ask(OpenAI(model="m", base_url=url), passages())
    assert time.monotonic() - started < 4
    trickling.shutdown()
    trickling.server_close()
    thread.join()
