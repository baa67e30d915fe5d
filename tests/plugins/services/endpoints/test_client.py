"""Clients ask in requests that an endpoint takes, try again where that may help, and say what went wrong."""

import asyncio
import json
import pickle
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from embedrun.artifacts import Model
from embedrun.errors import StageError, UserError
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.services.endpoints import transports
from embedrun_plugins.services.endpoints.client import Client, RequestParameters
from embedrun_plugins.services.endpoints.http_transport import HttpTransport, Key
from loopback import Recorder, recording, serving


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "FIRST_PAUSE", 0.001)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


@pytest.fixture(params=["sync", "async"])
def embed(request, recorder: Recorder) -> Iterator:
    """Embed by either way, always with the same client."""
    reading = RequestParameters(query="query", dimensions=2)
    with closing(HttpTransport(recorder.url, Key("k3y"))) as transport:
        client = Client(transport, reading, most_texts=8, concurrency=2)

        def call(texts: list[str], role: str = "query"):
            if request.param == "sync":
                return client.embed(texts, role)
            return asyncio.run(client.embed_async(texts, role))

        yield call


def test_texts_go_in_parts_and_come_back_in_order(embed, recorder: Recorder) -> None:
    texts = ["x" * length for length in range(1, 30)]
    assert embed(texts) == [[float(length), 1.0] for length in range(1, 30)]
    assert sorted(len(body["inputs"]) for body in recorder.bodies) == [5, 8, 8, 8]
    assert embed([]) == []


def test_each_role_is_asked_with_its_own_prompt(embed, recorder: Recorder) -> None:
    embed(["a"], "query")
    embed(["b"], "document")
    query, document = recorder.bodies
    assert query == {"inputs": ["a"], "normalize": True, "truncate": True, "prompt_name": "query", "dimensions": 2}
    assert "prompt_name" not in document
    assert recorder.paths == ["/embed", "/embed"]


@pytest.mark.parametrize("status", [429, 424, 503])
def test_what_may_pass_is_tried_again(embed, recorder: Recorder, status: int) -> None:
    recorder.statuses += [status, status]
    assert embed(["abc"]) == [[3.0, 1.0]]
    assert len(recorder.bodies) == 3


def test_an_overload_that_does_not_pass_is_said(embed, recorder: Recorder) -> None:
    recorder.statuses += [429] * transports.TRIES
    with pytest.raises(StageError, match=r"is overloaded, even after 6 tries .* \(said so\); send fewer"):
        embed(["abc"])


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "does not accept the key"), (422, "does its model have a prompt of this"), (404, "not such an en")],
)
def test_what_must_change_first_is_said_at_once(embed, recorder: Recorder, status: int, said: str) -> None:
    recorder.statuses.append(status)
    with pytest.raises(UserError, match=said) as told:
        embed(["abc"])
    assert len(recorder.bodies) == 1
    assert "k3y" not in str(told.value)


def test_a_request_that_is_too_large_is_halved(embed, recorder: Recorder) -> None:
    recorder.statuses.append(413)
    assert embed(["a", "bb", "ccc"]) == [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]
    assert [len(body["inputs"]) for body in recorder.bodies] == [3, 1, 2]


def test_long_texts_go_in_smaller_requests(embed, recorder: Recorder) -> None:
    embed(["x" * 800_000] * 3)
    assert [len(body["inputs"]) for body in recorder.bodies] == [1, 1, 1]


def test_an_empty_text_is_named(embed, recorder: Recorder) -> None:
    with pytest.raises(UserError, match="text 1 of 3 is empty; leave it out"):
        embed(["a", "", "b"])
    assert recorder.bodies == []


def test_half_a_character_is_named(embed, recorder: Recorder) -> None:
    with pytest.raises(UserError, match=r"text 1 of 2 holds half a character \(U\+D83C, at 3\)"):
        embed(["a", "abc\ud83c"])
    assert recorder.bodies == []


def test_texts_that_are_too_many_for_a_server_go_in_fewer(minilm: Path) -> None:
    with (
        serving(Model(minilm), limits=ServerLimits(max_client_batch_size=2)) as url,
        closing(HttpTransport(url)) as transport,
    ):
        found = Client(transport).embed(["a", "b", "c", "d", "e"], "query")
    assert len(found) == 5


def test_where_a_request_fails_no_more_are_sent(recorder: Recorder) -> None:
    async def ask(client: Client) -> None:
        with pytest.raises(UserError):
            await client.embed_async(["a"] * 40, "query")
        await asyncio.sleep(0.2)  # in which a program that goes on would send the rest

    recorder.statuses += [401] * 40
    with closing(HttpTransport(recorder.url)) as transport:
        asyncio.run(ask(Client(transport, most_texts=1, concurrency=2)))
    assert len(recorder.bodies) <= 4


def test_a_redirection_is_not_followed(embed, recorder: Recorder) -> None:
    with recording() as other:
        recorder.redirect = other.url
        with pytest.raises(UserError, match="redirects, which is not followed"):
            embed(["a"])
        assert other.headers == []


def test_an_answer_of_too_few_vectors_is_refused(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(HttpTransport(recorder.url)) as transport:
        client = Client(transport)
        monkeypatch.setattr(HttpTransport, "send", lambda *_: b"[[1.0, 2.0]]")
        with pytest.raises(StageError, match="returned 1 vectors for 2 texts"):
            client.embed(["a", "b"], "query")
        monkeypatch.setattr(HttpTransport, "send", lambda *_: b'{"vectors": []}')
        with pytest.raises(StageError, match="returned no list of vectors"):
            client.embed(["a", "b"], "query")
        monkeypatch.setattr(HttpTransport, "send", lambda *_: b"<html>")
        with pytest.raises(StageError, match="did not return JSON"):
            client.embed(["a", "b"], "query")


def test_nothing_that_answers_is_said() -> None:
    with (
        closing(HttpTransport("http://127.0.0.1:9")) as transport,
        pytest.raises(StageError, match="is it running, and is the"),
    ):
        Client(transport).embed(["a"], "query")


def test_an_address_that_is_none_is_refused_without_its_password() -> None:
    with pytest.raises(UserError, match="must hold no user or password") as told:
        HttpTransport("http://me:s3cret@host")
    assert "s3cret" not in str(told.value)
    with pytest.raises(UserError, match="starts with http"):
        HttpTransport("localhost:8080")


def test_certificates_are_checked() -> None:
    options = HttpTransport("https://example.org")._options
    assert options["verify"].verify_mode is ssl.CERT_REQUIRED
    assert options["verify"].check_hostname


def test_a_key_is_not_shown_and_goes_to_other_processes() -> None:
    transport = HttpTransport("http://localhost:1", Key("s3cret"))
    assert "s3cret" not in repr(Client(transport))
    assert pickle.loads(pickle.dumps(Client(transport))).transport.key.value == "s3cret"


def test_threads_share_a_client(recorder: Recorder) -> None:
    with closing(HttpTransport(recorder.url)) as transport:
        client = Client(transport)
        found: list = []
        threads = [threading.Thread(target=lambda: found.append(client.embed(["ab"], "query"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [[[2.0, 1.0]]] * 8


def test_texts_of_other_scripts_arrive_as_they_are(embed, recorder: Recorder) -> None:
    embed(["東京 🎉"])
    assert recorder.bodies[0]["inputs"] == ["東京 🎉"]
    assert json.loads(RequestParameters().body(["é"], "query"))["inputs"] == ["é"]
