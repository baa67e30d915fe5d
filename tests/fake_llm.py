"""A loopback stand-in for language models: Bedrock's Converse, and OpenAI's chat completions.

It answers with the questions of `llamaindex-10k` where it knows the passage, else with questions made of the passage's
own words. What goes wrong on purpose depends on the passage alone, so that every run meets the same troubles.

    python tests/fake_llm.py --port 8123 --throttle 20 --garbage 30

prints its address, for AWS_ENDPOINT_URL_BEDROCK_RUNTIME, or with /v1 for `base_url`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_services import Reply, Route, reply, serving

_PASSAGE = re.compile(r"<passage>\s*(.*?)\s*</passage>", re.DOTALL)
_QUESTION = re.compile(r"<question>\s*(.*?)\s*</question>", re.DOTALL)
_WANTED = re.compile(r"(\d+) questions?")
_SHINGLE = 6
"""Words by whose runs a passage is known again, however it was cut."""
_SHORTEST = 5
"""Letters of the words that questions are made of."""
_LAYOUTS = ("{n}. {question}", "{n}) {question}", "- {question}", "**Q{n}:** {question}")


@dataclass
class Troubles:
    """What goes wrong, each for one passage, or judged question, in so many; 0 for never."""

    throttle: int = 0
    """The first request about the passage is answered with 429."""
    break_off: int = 0
    """The first request about it is broken off."""
    garbage: int = 0
    """The first reply is nothing that can be read."""
    refusal: int = 0
    meta_question: int = 0
    """One more question that only makes sense with the passage at hand."""
    content_filter: int = 0
    always_fails: int = 0
    """The server has an error, each time."""
    always_garbage: int = 0
    """No reply can be read."""
    second_fails: int = 0
    """It has one whenever the passage is asked about again."""


@dataclass
class FakeModel:
    """The model behind all routes."""

    troubles: Troubles = field(default_factory=Troubles)
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Questions by passage."""
    models: Sequence[str] = ()
    """Ids that it knows; none means any."""
    expired: bool = False
    """Whether the caller's session or key is not accepted any more."""
    seconds: float = 0.0
    """Time that a reply takes."""
    throttle_all: bool = False
    answered: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.places: dict[str, str] = {}
        for passage in self.known:
            for run in _runs(passage):
                self.places.setdefault(run, passage)

    def trouble(self, prompt: str) -> str | None:
        """Return what goes wrong with this request, if anything does."""
        question = _QUESTION.search(prompt)
        passage = question[1] if question else parts(prompt)[0]
        if self.throttle_all:
            return "throttle"
        with self.lock:
            self.seen[passage] += 1
            first = self.seen[passage] == 1
        for name, every in vars(self.troubles).items():
            once = name in ("throttle", "break_off", "garbage")
            if name == "second_fails" and first:
                continue
            if every and _number(f"{name} {passage}") % every == 0 and (first or not once):
                return name
        return None

    def questions(self, passage: str, wanted: int) -> list[str]:
        """Return questions about a passage."""
        votes = Counter(self.places[run] for run in _runs(passage) if run in self.places)
        if votes:
            found, count = votes.most_common(1)[0]
            if count >= 0.3 * len(_runs(passage)):
                return list(self.known[found])[:wanted]
        return _made_up(passage, wanted)

    def text(self, prompt: str, trouble: str | None, *, as_json: bool) -> str:
        """Return what the model writes."""
        time.sleep(self.seconds)
        with self.lock:
            self.answered += 1
        passage, wanted = parts(prompt)
        if trouble in ("garbage", "always_garbage"):
            return "Certainly! The passage touches on a number of points; let me know how I can help"
        if trouble == "refusal":
            return "I'm sorry, but I cannot write questions about this."
        if question := _QUESTION.search(prompt):
            return _judgement(question[1])
        together = _PASSAGE.findall(prompt)
        found = _joint(together, wanted) if len(together) > 1 else self.questions(passage, wanted)
        if "keyword queries" in prompt:
            found = [question.rstrip("?").removeprefix("What is known of ") for question in found]
        if trouble == "meta_question":
            found = ["According to the passage, what is the main idea?", *found]
        if as_json:
            return json.dumps({"questions": found})
        layout = _LAYOUTS[_number(passage) % len(_LAYOUTS)]
        lines = (layout.format(n=n, question=question) for n, question in enumerate(found, 1))
        return "\n".join((f"Here are {len(found)} questions:\n", *lines))


def parts(prompt: str) -> tuple[str, int]:
    """Return the passage of a prompt, and how many questions it asks for."""
    passage = _PASSAGE.search(prompt)
    wanted = _WANTED.search(prompt)
    return passage[1] if passage else max(prompt.split("\n\n"), key=len), int(wanted[1]) if wanted else 2


def routes(model: FakeModel) -> list[tuple[str, Route]]:
    """Return the routes of Converse and of OpenAI's chat completions, to serve alone or among others."""

    def converse(match: re.Match[str], body: dict[str, Any]) -> Reply | None:
        return _converse(model, match["model"], body)

    def chat(match: re.Match[str], body: dict[str, Any]) -> Reply | None:
        return _chat(model, body)

    def models(match: re.Match[str], body: dict[str, Any]) -> Reply:
        return reply({"object": "list", "data": [{"id": name, "object": "model"} for name in model.models]})

    return [
        (r"/model/(?P<model>[^/]+(?:/[^/]+)?)/converse", converse),
        (r"/v1/chat/completions", chat),
        (r"/v1/models", models),
    ]


def tokens(text: str) -> int:
    """Count tokens as the fake does: four characters each."""
    return len(text) // 4 + 1


def _aws_error(kind: str, message: str, status: int) -> Reply:
    return reply({"message": message}, status, **{"x-amzn-errortype": kind})


def _converse(model: FakeModel, name: str, body: dict[str, Any]) -> Reply | None:
    if model.expired:
        return _aws_error("ExpiredTokenException", "The security token included in the request is expired", 403)
    if model.models and name not in model.models:
        return _aws_error("ValidationException", "The provided model identifier is invalid.", 400)
    prompt = body["messages"][0]["content"][0]["text"]
    trouble = model.trouble(prompt)
    errors = {
        "throttle": _aws_error("ThrottlingException", "Too many requests, please wait before trying again.", 429),
        "break_off": None,
        "always_fails": _aws_error("ModelErrorException", "The model met an error", 424),
        "second_fails": _aws_error("ModelErrorException", "The model met an error", 424),
        "content_filter": reply(message("", "content_filtered", prompt)),
    }
    if trouble in errors:
        return errors[trouble]
    return reply(message(model.text(prompt, trouble, as_json="JSON" in prompt), "end_turn", prompt))


def message(text: str, reason: str, prompt: str) -> dict[str, Any]:
    given, taken = tokens(prompt), tokens(text)
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": reason,
        "usage": {"inputTokens": given, "outputTokens": taken, "totalTokens": given + taken},
        "metrics": {"latencyMs": 1},
    }


def _openai_error(message: str, status: int, code: str | None = None) -> Reply:
    return reply({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}, status)


def _chat(model: FakeModel, body: dict[str, Any]) -> Reply | None:
    if model.expired:
        return _openai_error("Incorrect API key provided", 401, "invalid_api_key")
    if model.models and body["model"] not in model.models:
        return _openai_error(f"The model `{body['model']}` does not exist.", 404, "model_not_found")
    prompt = body["messages"][-1]["content"]
    trouble = model.trouble(prompt)
    errors = {
        "throttle": _openai_error("Rate limit reached", 429, "rate_limit_exceeded"),
        "break_off": None,
        "always_fails": _openai_error("The model met an error", 424),
        "second_fails": _openai_error("The model met an error", 424),
        "content_filter": _openai_error("The response was filtered", 400, "content_filter"),
    }
    if trouble in errors:
        return errors[trouble]
    text = model.text(prompt, trouble, as_json="response_format" in body)
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": tokens(prompt), "completion_tokens": tokens(text)}
    usage["total_tokens"] = sum(usage.values())
    return reply(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }
    )


def known_questions(data: Path) -> dict[str, list[str]]:
    """Return the questions of `llamaindex-10k` by passage."""
    found: dict[str, list[str]] = {}
    for split in ("train", "val"):
        corpus, queries, relevant = (
            json.loads((data / "llamaindex-10k" / f"{split}_{name}.json").read_text("utf-8"))
            for name in ("corpus", "queries", "relevant_docs")
        )
        for query, passages in relevant.items():
            for passage in passages:
                found.setdefault(corpus[passage], []).append(queries[query])
    return found


def _number(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def _runs(text: str) -> list[str]:
    """Return the runs of words in a passage."""
    words = re.findall(r"\w+", text.casefold())
    return [" ".join(words[start : start + _SHINGLE]) for start in range(max(1, len(words) - _SHINGLE + 1))]


def _made_up(passage: str, wanted: int) -> list[str]:
    """Make questions of a passage's own words, so that training on them works a little."""
    sentences = [sentence for sentence in re.split(r"(?<=[.!?])\s+", passage) if len(sentence.split()) > 3] or [passage]
    found = []
    for n in range(wanted):
        sentence = sentences[(_number(passage) + n * max(1, len(sentences) // wanted)) % len(sentences)]
        words = [word for word in re.findall(r"[\w$%.-]*\w", sentence) if len(word) >= _SHORTEST]
        start = ("What is known of {}?", "How do {} relate?", "What was reported on {}?")[n % 3]
        found.append(start.format(" ".join((words or sentence.split())[: 5 + n // 3])))
    return found


def _judgement(question: str) -> str:
    """Give a score from 1 to 5 that depends on the question alone, in one of several layouts."""
    number = _number(question)
    score = number % 5 + 1
    layouts = ('{"score": %d}', '```json\n{"score": %d, "reason": "a {brace}"}\n```', "Score: %d/5", "%d")
    return layouts[number // 5 % len(layouts)] % score


def _joint(passages: Sequence[str], wanted: int) -> list[str]:
    """Make questions that name a word of each of several passages."""
    words = [re.findall(r"[\w-]*\d[\w-]*", passage) or re.findall(r"\w{5,}", passage) for passage in passages]
    return [f"How do {' and '.join(each[n % len(each)] for each in words)} go together ({n})?" for n in range(wanted)]


def main() -> None:
    parser = argparse.ArgumentParser(description="A loopback stand-in for Bedrock and OpenAI.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", type=Path, help="folder that holds llamaindex-10k, whose questions it then knows")
    parser.add_argument("--seconds", type=float, default=0.0, help="time that a reply takes")
    for name in vars(Troubles()):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=0, help="for one passage in so many")
    given = vars(parser.parse_args())
    known = known_questions(given["data"]) if given["data"] else {}
    model = FakeModel(Troubles(**{name: given[name] for name in vars(Troubles())}), known, seconds=given["seconds"])
    with serving(*routes(model), port=given["port"]) as services:
        print(services.url, flush=True)  # noqa: T201  # whoever started it reads this
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"{model.answered} answered, {len(services.asked)} requests")  # noqa: T201  # the script's result


if __name__ == "__main__":
    main()
