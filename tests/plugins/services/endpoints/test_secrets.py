"""No token or key reaches a host that it is not meant for, nor a run's folder, a log or an error."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from embedrun.errors import EmbedrunError
from embedrun.langchain import EmbedrunEmbeddings
from embedrun.llama_index import EmbedrunEmbedding
from embedrun_plugins.services.endpoints import transports
from embedrun_plugins.services.endpoints.http_transport import HttpTransport, Key
from embedrun_plugins.services.endpoints.sagemaker_transport import SageMakerTransport
from loopback import Recorder, recording

PLANTED = {
    "HF_TOKEN": "hf_PLANTEDPLANTEDPLANTED",
    "HUGGING_FACE_HUB_TOKEN": "hf_PLANTEDTOOPLANTEDTOO",
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED",
    "AWS_SECRET_ACCESS_KEY": "planted/aws/secret/planted",
    "AWS_SESSION_TOKEN": "planted-aws-session",
    "AWS_BEARER_TOKEN_BEDROCK": "planted-bedrock",
    "OPENAI_API_KEY": "sk-planted-openai",
    "EMBEDRUN_TEST_KEY": "planted-own-key",
}
SAVED = "hf_SAVEDSAVEDSAVEDSAVED"
MEANT = "planted-own-key"


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(transports, "FIRST_PAUSE", 0.001)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(SAVED)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


def leaked(text: str, *meant: str) -> list[str]:
    """Return which planted values a text holds, but for those that may be there."""
    planted = [value for value in (*PLANTED.values(), SAVED, "planted") if value not in meant]
    for value in meant:
        text = text.replace(value, "")
    return [value for value in planted if value in text]


def test_a_server_gets_no_token_of_any_other(recorder: Recorder) -> None:
    embeddings, embedding = EmbedrunEmbeddings(recorder.url), EmbedrunEmbedding(recorder.url)
    embeddings.embed_documents(["a"])
    embedding.get_query_embedding("a")
    asyncio.run(embeddings.aembed_query("a"))
    asyncio.run(embedding.aget_text_embedding("a"))
    embeddings.close()
    embedding.close()
    assert len(recorder.headers) == 4
    assert not any("authorization" in {name.lower() for name in headers} for headers in recorder.headers)
    assert leaked(recorder.written) == []


def test_a_server_gets_its_own_key_and_no_other(recorder: Recorder) -> None:
    embeddings = EmbedrunEmbeddings(recorder.url, api_key_env="EMBEDRUN_TEST_KEY")
    embeddings.embed_query("a")
    asyncio.run(embeddings.aembed_query("a"))
    assert [headers["authorization"] for headers in recorder.headers] == [f"Bearer {MEANT}"] * 2
    assert leaked(recorder.written, MEANT) == []
    assert leaked(repr(embeddings) + str(vars(embeddings))) == []
    embeddings.close()


@pytest.mark.parametrize(
    ("option", "given", "named"),
    [("api_key_env", "EMBEDRUN_TEST_KEY", "EMBEDRUN_TEST_KEY"), ("api_key", MEANT, "api_key")],
)
def test_a_key_that_would_cross_the_network_in_the_open_is_warned_of(option: str, given: str, named: str) -> None:
    with pytest.warns(UserWarning, match=f"example.org is not encrypted, and the key in {named} goes there") as told:
        EmbedrunEmbeddings("http://example.org", **{option: given}).close()
    assert leaked(str(told[0].message)) == []


def test_a_redirection_takes_no_key_along(recorder: Recorder) -> None:
    with recording() as elsewhere:
        recorder.redirect = elsewhere.url
        with closing(EmbedrunEmbeddings(recorder.url, api_key_env="EMBEDRUN_TEST_KEY")) as embeddings:
            with pytest.raises(EmbedrunError) as told:
                embeddings.embed_query("a")
            with pytest.raises(EmbedrunError):
                asyncio.run(embeddings.aembed_query("a"))
        assert elsewhere.headers == []
    assert leaked(str(told.value)) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500])
def test_errors_hold_no_key(recorder: Recorder, status: int) -> None:
    recorder.statuses += [status] * 20
    embeddings = EmbedrunEmbeddings(recorder.url, api_key_env="EMBEDRUN_TEST_KEY")
    with closing(embeddings), pytest.raises(EmbedrunError) as told:
        embeddings.embed_query("a")
    assert leaked(str(told.value) + repr(told.value)) == []


def test_a_key_that_cannot_be_sent_is_not_repeated(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDRUN_TEST_KEY", f"{MEANT}\nX-Other: header")
    for key in (Key(variable="EMBEDRUN_TEST_KEY"), Key(f"{MEANT}\nX-Other: header")):
        with closing(HttpTransport(recorder.url, key)) as transport, pytest.raises(EmbedrunError) as told:
            transport.send(b"{}")
        assert leaked(str(told.value)) == []
    assert recorder.headers == []


def test_a_sagemaker_request_is_signed_and_holds_no_secret(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    with closing(SageMakerTransport("mine", region="eu-west-1", endpoint_url=recorder.url)) as transport:
        assert json.loads(transport.send(b'{"inputs": ["a"]}')) == [[1.0, 1.0]]
    assert recorder.paths == ["/endpoints/mine/invocations"]
    assert leaked(recorder.written, PLANTED["AWS_ACCESS_KEY_ID"]) == []  # a signature names the key's id


def test_the_hubs_client_sends_the_key_that_it_is_given_and_not_the_saved_token(recorder: Recorder) -> None:
    from huggingface_hub import InferenceClient

    InferenceClient(model=f"{recorder.url}/embed", api_key="none").feature_extraction("a", prompt_name="query")
    assert recorder.bodies == [{"inputs": "a", "prompt_name": "query"}]
    assert leaked(recorder.written) == []


def test_a_deployment_its_verification_and_its_measurement_keep_no_secret(project, minilm: Path) -> None:
    project.write("pairs.jsonl", '{"anchor": "who?", "positive": "She."}\n')
    project.write(
        "served.yaml",
        "name: served\nmodel: sentence-transformers/all-MiniLM-L6-v2\nsource: {type: pairs, path: pairs.jsonl}\n"
        "deployer: {type: local, port: 0, api_key_env: EMBEDRUN_TEST_KEY}\n",
    )
    said = ""
    try:
        for words in (["run", "served.yaml"], ["verify", "served", "--json"]):
            outcome = project.run(*words)
            assert outcome.code == 0, outcome.err
            said += outcome.out + outcome.err
        quick = ["--concurrency", "1", "--seconds", "0.2", "--warm-up", "0"]
        said += project.run("bench", "served", *quick).out
        with closing(EmbedrunEmbeddings.from_run("served")) as embeddings:
            assert len(embeddings.embed_query("a")) == 384
    finally:
        said += project.run("delete", "served").out
    written = "".join(
        file.read_text("utf-8", "replace")
        for file in (project.folder / "runs").rglob("*")
        if file.is_file() and file.stat().st_size < 10**6
    )
    assert "endpoint" in written
    assert leaked(said + written) == []
