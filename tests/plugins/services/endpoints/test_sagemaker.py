"""SageMaker's clients: settings and rights that are missing are said, a broken connection is tried again."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from embedrun.errors import StageError, UserError
from embedrun.langchain import EmbedrunEmbeddings
from embedrun_plugins.services.endpoints import transports

BREAKS, HANGS = 0, -1
DENIED = {"message": "User is not authorized to perform: sagemaker:InvokeEndpoint"}


@dataclass
class Runtime:
    """SageMaker's runtime, and what it does with the next requests before it answers."""

    statuses: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Runtime]:
    runtime = Runtime()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["inputs"]
            runtime.asked.append(self.headers["authorization"])
            status = runtime.statuses.pop(0) if runtime.statuses else 200
            if status == BREAKS:
                self.close_connection = True
                return
            if status == HANGS:
                runtime.ended.wait(10)
            body = json.dumps([[float(len(text))] for text in texts] if status <= 200 else DENIED).encode()
            self.send_response(max(status, 200))
            self.send_header("content-length", str(len(body)))
            if status == 403:
                self.send_header("x-amzn-errortype", "AccessDeniedException")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            """Say nothing."""

    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transports, "FIRST_PAUSE", 0.001)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        settings = {
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": f"http://127.0.0.1:{server.server_port}",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield runtime
        finally:
            runtime.ended.set()
            server.shutdown()
            thread.join()


def embed(text: str, **options) -> list[float]:
    with closing(EmbedrunEmbeddings.from_sagemaker("mine", **options)) as embeddings:
        return embeddings.embed_query(text)


def test_the_region_may_be_in_aws_region_alone(runtime: Runtime) -> None:
    assert embed("abc") == [3.0]
    assert "/eu-west-1/sagemaker/" in runtime.asked[0]


@pytest.mark.parametrize(
    ("missing", "said"),
    [("AWS_REGION", "no AWS region; give one by"), ("AWS_ACCESS_KEY_ID", "there are no AWS credentials; give some by")],
)
def test_a_missing_setting_is_said(runtime: Runtime, missing: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(missing)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=missing != "AWS_REGION")
    with pytest.raises(UserError, match=said):
        embed("abc")
    assert runtime.asked == []


def test_a_profile_that_is_none_is_said(runtime: Runtime) -> None:
    with pytest.raises(UserError, match="there is no AWS profile 'other'"):
        embed("abc", profile="other")


def test_a_missing_right_is_said_as_one_of_aws(runtime: Runtime) -> None:
    runtime.statuses.append(403)
    with pytest.raises(UserError, match=r"access denied: .*sagemaker:InvokeEndpoint; this user or role lacks") as told:
        embed("abc")
    assert "api_key" not in str(told.value)
    assert len(runtime.asked) == 1


def test_a_connection_that_breaks_is_tried_again(runtime: Runtime) -> None:
    runtime.statuses += [BREAKS, BREAKS]
    assert embed("abc") == [3.0]
    assert len(runtime.asked) == 3


def test_a_timeout_of_ones_own_holds(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "TRIES", 1)
    runtime.statuses.append(HANGS)
    with pytest.raises(StageError, match="does not answer: no answer in time"):
        embed("abc", timeout=0.3)


@pytest.mark.parametrize("key", [{"api_key": "s3cret"}, {"api_key_env": "MY_KEY"}])
def test_a_servers_key_is_refused(runtime: Runtime, key: dict[str, str]) -> None:
    with pytest.raises(UserError, match="SageMaker endpoint mine: takes no api_key or api_key_env") as told:
        embed("abc", **key)
    assert "s3cret" not in str(told.value)
