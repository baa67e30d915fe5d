"""The server as a process of its own, with clients over the network."""

import http.client
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import uvicorn

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun_plugins.models.serving.connections import Connection
from embedrun_plugins.models.serving.listener import listen
from embedrun_plugins.models.serving.server import _Server, serve


@pytest.fixture
def server(minilm: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    url = tmp_path / "url"
    command = [
        sys.executable,
        "-m",
        "embedrun_plugins.models.serving",
        str(minilm),
        "--port",
        "0",
        "--url-file",
        str(url),
    ]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        while not url.exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield process, url.read_text()
        process.kill()


def embed(url: str, texts: list[str]) -> np.ndarray:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    connection.request("POST", "/embed", json.dumps({"inputs": texts}))
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert response.status == 200, body
    return np.array(body, np.float32)


def test_concurrent_clients_get_exact_vectors_and_what_is_asked_is_answered_before_it_ends(server, minilm) -> None:
    process, url = server
    chosen = random.Random(0)
    texts = [f"{n} " + "what does the filing say on revenue? " * (n % 9) for n in range(40)]
    requests = [chosen.choices(texts, k=chosen.randint(1, 32)) for _ in range(40)]
    known = dict(zip(texts, Model(minilm).load("cpu").encode(texts), strict=True))
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda asked: embed(url, asked), requests))
        assert [len(vectors) for vectors in answers] == [len(asked) for asked in requests]
        for asked, vectors in zip(requests, answers, strict=True):
            assert (vectors * np.stack([known[text] for text in asked])).sum(axis=1).min() > 0.9999
        begun = threading.Barrier(9)
        last = [pool.submit(lambda: (begun.wait(), embed(url, texts[:32]))[1]) for _ in range(8)]
        begun.wait()
        while "te_queue_size 0" in _metrics(url) and not all(future.done() for future in last):
            time.sleep(0.005)
        process.terminate()
        answered = [future for future in last if future.exception() is None]
    assert process.wait(60) == 0
    assert answered
    assert all(len(future.result()) == 32 for future in answered)


def counts(url: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in _metrics(url).splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_every_request_ends_in_one_count_even_where_its_client_hangs_up(server) -> None:
    _, url = server
    host = urlsplit(url)
    body = json.dumps({"inputs": ["what does the filing say on revenue? " * 9] * 32}).encode()
    head = b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    for sent in (head + body[:50], *[head + body] * 20):
        with socket.create_connection((host.hostname, host.port)) as connection:
            connection.sendall(sent)
    assert embed(url, ["hello"]).shape == (1, 384)
    deadline = time.monotonic() + 60
    while (counted := counts(url))["te_request_count"] < 22 or counted["te_queue_size"]:
        assert time.monotonic() < deadline, counted
        time.sleep(0.1)
    time.sleep(1)
    counted = counts(url)
    failed = sum(value for name, value in counted.items() if name.startswith("te_request_failure"))
    assert counted["te_request_count"] == 22 == counted["te_request_success"] + failed
    assert counted["te_embed_count"] < 20 * 32 / 2


def _metrics(url: str) -> str:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_a_taken_port_is_named_before_the_model_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use; choose"):
            serve(Model(tmp_path / "absent"), port=port)


def test_an_address_that_is_not_this_machines_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot listen on 192\.0\.2\.1:0"):
        serve(Model(tmp_path), host="192.0.2.1", port=0)


def test_a_key_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(UserError, match="NO_SUCH_KEY is not set"):
        serve(Model(tmp_path), api_key_env="NO_SUCH_KEY")


def test_a_connection_that_rests_longer_than_clients_keep_one_is_not_closed_under_them(server) -> None:
    _, url = server
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        for rest in (7, 0):  # httpx keeps 5 s
            connection.request("GET", "/health")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            assert not answer.will_close
            before = connection.sock
            time.sleep(rest)
        assert connection.sock is before


def test_an_answer_does_not_wait_until_its_header_is_acknowledged() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_body_over_the_limit_is_refused_to_a_client_that_is_still_sending(server) -> None:
    _, url = server
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)) as connection:
        connection.request("POST", "/embed", b'{"inputs": "' + b"a" * 20_000_000 + b'"}')
        with connection.getresponse() as response:
            assert response.status == 413


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server without a model that takes three connections, and ends those that send nothing for 1 s."""
    monkeypatch.setattr("embedrun_plugins.models.serving.connections.REQUEST_SECONDS", 1.0)

    async def answer(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(answer, http=type("Few", (Connection,), {"most": 3}), lifespan="off", log_level="error")
    server = _Server(config)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield listener.getsockname()[:2]
        server.should_exit = True
        thread.join()


def test_connections_that_send_nothing_are_ended_and_make_room_for_others(connections) -> None:
    idle = [socket.create_connection(connections, timeout=30) for _ in range(9)]
    assert [connection.recv(1) for connection in idle[:6]] == [b""] * 6
    with closing(http.client.HTTPConnection(*connections, timeout=30)) as client:
        client.request("GET", "/")
        with client.getresponse() as response:
            assert response.status == 200
    idle[8].sendall(b"GET / HTTP/1.1\r\nhost")  # half a head is no request
    assert [connection.recv(1) for connection in idle] == [b""] * 9
    for connection in idle:
        connection.close()
