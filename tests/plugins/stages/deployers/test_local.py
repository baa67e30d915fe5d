"""The deployer `local` starts a server that outlives the run, and ends that one and no other."""

import dataclasses
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from pydantic import ValidationError

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, RunRef
from embedrun.errors import StageError, UserError
from embedrun.model_settings import ModelSettings, Prompts
from embedrun.testing import tiny_model
from embedrun_plugins.stages.deployers.background_process import Process, serving_on
from embedrun_plugins.stages.deployers.local import LocalServer


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return Context(out=tmp_path / "out", state=tmp_path / "state")


def test_a_server_answers_with_the_contract_until_it_is_deleted(
    ctx: Context, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "not for a server")
    monkeypatch.setenv("KEY_OF_THE_SERVER", "secret")
    model = Model(minilm, ModelSettings(prompts=Prompts(query="query: "), max_length=32))
    deployer = LocalServer(port=0, api_key_env="KEY_OF_THE_SERVER")
    endpoint = Endpoint.model_validate_json(deployer.run(ctx, model).model_dump_json())
    try:
        process = psutil.Process(endpoint.details["pid"])
        assert os.getsid(process.pid) == process.pid
        assert "HF_TOKEN" not in process.environ()
        assert "secret" not in " ".join(process.cmdline()) + endpoint.model_dump_json()
        np.testing.assert_allclose(_embed(endpoint.url), model.load("cpu").encode_query(["hello"]), atol=1e-5)
        other = endpoint.model_copy(update={"details": {**endpoint.details, "started": process.create_time() - 60}})
        deployer.delete(other)
        assert process.is_running()
    finally:
        deployer.delete(endpoint)
    assert not psutil.pid_exists(endpoint.details["pid"])
    deployer.delete(endpoint)


def _embed(url: str | None) -> np.ndarray:
    connection = http.client.HTTPConnection(urlsplit(url or "").netloc, timeout=60)
    body = json.dumps({"inputs": "hello", "prompt_name": "query"})
    connection.request("POST", "/embed", body, {"Authorization": "Bearer secret"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return np.array(answer, np.float32)


def test_a_server_that_cannot_start_is_explained_by_its_log(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    with pytest.raises(StageError, match=r"ended before it answered; its log ends:\n.*no model here"):
        LocalServer(port=0).run(ctx, Model(tmp_path / "broken"))


def test_a_server_that_is_too_slow_is_ended(ctx: Context, minilm: Path) -> None:
    before = psutil.Process().children()
    with pytest.raises(StageError, match=r"did not answer within 0\.1 s"):
        LocalServer(port=0, timeout=0.1).run(ctx, Model(minilm))
    begun = [child for child in psutil.Process().children() if child not in before]
    assert not [child for child in begun if "serving" in " ".join(child.cmdline())]


def test_an_ended_server_leaves_no_zombie(tmp_path: Path) -> None:
    process = Process.start([sys.executable, "-c", "print('said')"], {}, tmp_path / "log")
    while process.is_running():
        pass
    assert not psutil.pid_exists(process.pid)
    assert (tmp_path / "log").read_text() == "said\n"


def test_a_taken_port_is_named(ctx: Context, minilm: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="choose another port, or 0"):
        LocalServer(port=taken.getsockname()[1]).run(ctx, Model(minilm))
    assert not (ctx.out / "server.log").exists()


def test_a_server_whose_run_was_killed_before_it_wrote_its_record_ends(tmp_path: Path) -> None:
    tiny_model(tmp_path / "model")
    start = (
        "import os; from pathlib import Path;"
        "from embedrun.artifacts import Model; from embedrun.context import Context;"
        "from embedrun_plugins.stages.deployers.local import LocalServer;"
        "LocalServer.proven = lambda *_: os.kill(os.getpid(), 9);"
        "LocalServer(port=0).run(Context(out=Path('out'), state=Path('state')), Model(Path('model')))"
    )
    with subprocess.Popen([sys.executable, "-c", start], cwd=tmp_path) as killed:
        assert killed.wait(300) == -signal.SIGKILL
    url = (tmp_path / "out/url").read_text()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)):
                return
        time.sleep(0.2)
    pytest.fail("it still listens")


def test_deleting_what_was_killed_in_between_is_quiet() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        endpoint = Endpoint(
            deployer="local", details={"pid": process.pid, "started": psutil.Process(process.pid).create_time()}
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
    LocalServer().delete(endpoint)


def of_run(ctx: Context, name: str) -> Context:
    """Return a context in a run's folder."""
    folder = ctx.out.parent / "runs" / "demo" / name
    out = folder / "deployments" / "local" / "out"
    out.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    return dataclasses.replace(ctx, out=out, run=RunRef(folder))


def keep(ctx: Context, endpoint: Endpoint) -> None:
    """Write what the engine writes beside a deployment."""
    written = {"endpoint": endpoint.model_dump(mode="json"), "deployer": {"type": "local"}}
    (ctx.out.parent / "endpoint.json").write_text(json.dumps(written))


def test_a_run_takes_over_the_port_of_its_recipes_earlier_run(ctx: Context, minilm: Path) -> None:
    first, second = of_run(ctx, "1"), of_run(ctx, "2")
    old = LocalServer(port=0).run(first, Model(minilm))
    new = None
    try:
        keep(first, old)
        deployer = LocalServer(port=urlsplit(old.url or "").port or 0)
        other = dataclasses.replace(ctx, run=None)
        with pytest.raises(UserError, match="choose another port"):
            deployer.run(other, Model(minilm))
        assert not serving_on(deployer.port)  # it was asked for port 0
        notes: dict[str, object] = {}
        new = deployer.run(dataclasses.replace(second, on_note=notes.__setitem__), Model(minilm))
        assert (new.url, notes["replaced"]) == (old.url, "the server of demo/1")
        assert not psutil.pid_exists(old.details["pid"])
        assert list(deployer.faults()) == []
        assert _info(new.url)["model_id"] == "demo/2"
    finally:
        for endpoint in (old, new):
            if endpoint:
                LocalServer().delete(endpoint)


def _info(url: str | None) -> dict[str, object]:
    connection = http.client.HTTPConnection(urlsplit(url or "").netloc, timeout=60)
    connection.request("GET", "/info")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_what_is_missing_is_a_fault_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    (fault,) = LocalServer(port=0, api_key_env="NO_SUCH_KEY").faults()
    assert "NO_SUCH_KEY is not set" in fault
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (fault,) = LocalServer(port=taken.getsockname()[1]).faults()
    assert "Address already in use; choose another port" in fault
    assert list(LocalServer(port=0).faults()) == []


@pytest.mark.parametrize("key", ["sk-secret", "sk_live_0123456789abcdef", "hf_0123456789abcdefghij", ""])
def test_a_key_in_place_of_a_variables_name_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="must be the name of an environment variable"):
        LocalServer(api_key_env=key)


def test_a_server_open_to_other_machines_without_a_key_is_warned_of(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    warnings: list[str] = []
    asked = dataclasses.replace(ctx, on_warning=warnings.append)
    with pytest.raises(StageError):
        LocalServer(host="0.0.0.0", port=0).run(asked, Model(tmp_path / "broken"))
    assert "no API key is required" in warnings[0]


@pytest.mark.parametrize("fields", ["{type: local, api_key_env: KEY}", "{type: hub, repo_id: a/b, token_env: KEY}"])
def test_a_key_in_a_recipe_is_not_repeated(project, fields: str) -> None:
    key = "sk-" + "s3cr3t"
    project.run("recipes", "quickstart", "mine.yaml")
    recipe = project.folder / "mine.yaml"
    recipe.write_text(f"{recipe.read_text()}deployer: {fields.replace('KEY', key)}\n")
    outcome = project.run("check", "mine.yaml")
    assert outcome.code == 2
    assert "must be the name of an environment variable" in outcome.err
    assert key not in outcome.err + outcome.out
