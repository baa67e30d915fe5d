"""The deployer `tei`, with a stand-in for TEI's image that has its start-up rules (tests/tei_standin.py)."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

import tei_standin
from embedrun import Rehearsal
from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, Resolver, RunRef
from embedrun.errors import StageError, UserError
from embedrun.model_settings import ModelSettings, Prompts
from embedrun_plugins.models.export import export
from embedrun_plugins.services.tei.container import healthy
from embedrun_plugins.services.tei.records import labels, retire, written_down
from embedrun_plugins.stages.deployers.tei import TeiDeployer

Small = Callable[..., Path]
KEY = "planted-server-key-4711"


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return of_run(tmp_path, "1")


def of_run(folder: Path, name: str, recipe: str = "demo") -> Context:
    """Return a context in a run's folder."""
    run = folder / "runs" / recipe / name
    (run / "deployments" / "tei" / "out").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    return Context(out=run / "deployments" / "tei" / "out", state=run / "state", run=RunRef(run))


Starting = Callable[..., tuple[int, str]]


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Starting:
    """Start the stand-in with a folder, for as long as it takes to stop or to listen: its exit code, what it said."""

    def start(folder: Path, **variables: str) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            patch.setattr("embedrun_plugins.models.serving.server.serve", lambda *_, **__: None)
            for name, value in variables.items():
                patch.setenv(name, value)
            try:
                code = tei_standin.main(["--model-id", str(folder)])
            except SystemExit as stopped:
                code = int(stopped.code or 0)
        return code, capsys.readouterr().err

    return start


def test_the_export_is_what_makes_tei_start(small: Small, tmp_path: Path, starting: Starting) -> None:
    path = small(Pooling(32, "mean"), Dense(32, 16), Normalize())
    code, said = starting(path)
    assert code == 1
    assert "Failed to parse `1_Pooling/config.json`" in said
    assert "missing field `pooling_mode_cls_token`" in said
    code, said = starting(path, POOLING="mean")
    assert code == 1
    assert "Failed to parse `sentence_bert_config.json`" in said
    assert "missing field `max_seq_length`" in said
    export(Model(path), tmp_path / "exported")
    told = TeiDeployer(gpu="none").environment(tmp_path / "exported")
    code, said = starting(tmp_path / "exported", **told, TMPDIR=str(tmp_path))
    assert (code, "WARN" in said) == (0, False), said


def test_modernbert_starts_only_with_the_rope_keys_that_the_export_writes(
    small: Small, tmp_path: Path, starting: Starting
) -> None:
    path = small(Pooling(32, "cls"), kind="modernbert", global_attn_every_n_layers=2)
    export(Model(path), tmp_path / "exported")
    assert starting(tmp_path / "exported", TMPDIR=str(tmp_path))[0] == 0
    (tmp_path / "exported" / "config.json").write_bytes((path / "config.json").read_bytes())
    code, said = starting(tmp_path / "exported")
    assert code == 1
    assert "missing field `global_rope_theta`" in said


def test_a_value_that_tei_does_not_take_ends_it_at_once(small: Small, tmp_path: Path, starting: Starting) -> None:
    export(Model(small(Pooling(32, "mean"))), tmp_path / "exported")
    assert starting(tmp_path / "exported", POOLING="lasttoken")[0] == 2
    assert starting(tmp_path / "exported", DTYPE="bfloat16")[0] == 2
    (tmp_path / "exported" / "tokenizer.json").unlink()
    assert starting(tmp_path / "exported")[0] == 101


RECIPE = """\
model: MODEL
source: {type: pairs, path: pairs.jsonl, holdout: 0.3}
loss: multiple_negatives_ranking
trainer: {type: sentence_transformers, max_steps: 1, batch_size: 4}
deployer:
  - {type: directory, path: exported}
  - {type: tei, port: 0, gpu: none}
"""


def recipe(project: Any, model: str) -> None:
    rows = [{"anchor": f"question {n}", "positive": f"The answer number {n}."} for n in range(12)]
    project.write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    project.write("r.yaml", RECIPE.replace("MODEL", model))


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_model_that_tei_has_not_is_refused_before_it_is_trained(
    project: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TeiDeployer, "resolve", lambda stage, _: stage)  # no engine is needed to know it
    project.write("model/config.json", json.dumps({"model_type": "t5", "n_positions": 512}))
    recipe(project, "./model")
    outcome = project.run(command, "r.yaml")
    assert outcome.code == 2
    assert outcome.err.startswith("r.yaml:7:5: deployer.1: TEI 1.9 has no 't5' models, only bert, ")
    assert not (project.folder / "runs").exists()


def test_a_pooling_of_the_recipes_own_is_refused_before_it_is_trained(project: Any) -> None:
    recipe(project, "{id: sentence-transformers/all-MiniLM-L6-v2, pooling: max}")
    outcome = project.run("check", "r.yaml")
    assert outcome.code == 2
    assert "deployer.1: TEI pools by cls, mean or lasttoken, and this model by max" in outcome.err
    recipe(project, "sentence-transformers/all-MiniLM-L6-v2")
    assert project.run("check", "r.yaml").code == 0


def test_without_an_engine_a_run_does_not_begin(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{project.folder}/no.sock")
    recipe(project, "sentence-transformers/all-MiniLM-L6-v2")
    outcome = project.run("r.yaml")
    assert outcome.code == 2
    assert "no container engine at unix://" in outcome.err
    assert not (project.folder / "exported").exists()


def test_an_engine_on_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from embedrun_plugins.services.tei import preflight as engine

    class Api:
        base_url = "https://build.example:2376"

    class Client:
        api = Api()

    with pytest.raises(UserError, match=r"the container engine is on another machine \(https://build\.example:2376\)"):
        engine.require_here(Client())
    for here in ("http+docker://localhost", "http://127.0.0.1:2375"):
        Api.base_url = here
        engine.require_here(Client())


def test_a_missing_key_is_a_fault_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    (fault,) = TeiDeployer(api_key_env="NO_SUCH_KEY").faults()
    assert "NO_SUCH_KEY is not set" in fault


def test_what_is_being_deployed_is_found_by_delete_after_a_crash(ctx: Context) -> None:
    file = ctx.out.parent / "endpoint.json"
    endpoint = Endpoint(deployer="tei", url="http://127.0.0.1:8080", details={"container": "4711", "model": "/m"})
    with written_down(ctx, TeiDeployer(), endpoint):
        written = json.loads(file.read_text())
        assert Endpoint.model_validate(written["endpoint"]) == endpoint
        assert TeiDeployer.model_validate(written["deployer"]) == TeiDeployer()
    assert file.exists()
    with pytest.raises(KeyboardInterrupt), written_down(ctx, TeiDeployer(), endpoint):
        raise KeyboardInterrupt
    assert not file.exists()


class Engine:
    """An engine with the containers of earlier runs, one of which it does not let go."""

    def __init__(self, kept: str) -> None:
        self.kept, self.id, self.containers = kept, "", self

    def get(self, identifier: str) -> Engine:
        self.id = identifier
        return self

    def stop(self, timeout: int) -> None:
        """Stop at once."""

    def remove(self, *, force: bool) -> None:
        from docker.errors import APIError

        if self.id == self.kept:
            raise APIError("the device is busy")


def test_what_is_replaced_goes_with_its_export_and_what_cannot_go_is_said_and_kept_on_record(tmp_path: Path) -> None:
    said: list[str] = []
    for number in ("1", "2"):
        ctx = of_run(tmp_path, number)
        model = ctx.out / "model"
        model.mkdir()
        (model / "modules.json").write_text("[]")
        endpoint = Endpoint(deployer="tei", details={"container": f"c{number}", "model": str(model)})
        with written_down(ctx, TeiDeployer(), endpoint):
            earlier = SimpleNamespace(id=f"c{number}", name=f"n{number}", labels=labels(ctx))
        assert retire(Engine("c2"), earlier, said.append) == f"demo/{number}"
    left = sorted(str(path.relative_to(tmp_path / "runs/demo")) for path in tmp_path.rglob("*.json"))
    there = ["1/deployments/tei/deleted.json", "2/deployments/tei/endpoint.json"]
    assert left == sorted([*there, "2/deployments/tei/out/model/modules.json", "1/run.json", "2/run.json"])
    assert said == ["left from before: container n2: the device is busy; `embedrun delete demo/2` tries again"]


def test_a_host_that_the_engine_cannot_publish_on_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be an IP address, such as"):
        TeiDeployer(host="localhost")


def test_a_rehearsal_exports_and_checks_where_there_is_no_engine(
    small: Small, ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    rehearsal = Rehearsal(tmp_path)
    stage = TeiDeployer(port=8080).rehearsal(rehearsal)
    assert stage.resolve(Resolver()) is stage
    notes: dict[str, Any] = {}
    endpoint = stage.run(dataclasses.replace(ctx, on_note=notes.__setitem__), Model(small(Pooling(32, "cls"))))
    assert notes["environment"]["POOLING"] == "cls"
    assert (Path(endpoint.path or "") / "tokenizer.json").exists()
    stage.delete(endpoint)
    assert not Path(endpoint.path or "").exists()
    (sentence,) = rehearsal.notes
    assert sentence.unsure
    assert "no container is started: no container engine at" in sentence.sentence


def test_a_rehearsal_finds_a_model_that_tei_cannot_serve(small: Small, ctx: Context, tmp_path: Path) -> None:
    path = small(Pooling(32, "mean"), Dense(32, 8, activation_function=torch.nn.ReLU()))
    with pytest.raises(UserError, match="Identity or Tanh"):
        TeiDeployer(gpu="none").rehearsal(Rehearsal(tmp_path)).run(ctx, Model(path))


# From here on with a real engine.


@pytest.fixture(scope="session")
def standin(engine: Any, image: Any) -> str:
    return tei_standin.build(engine, image.reference)


@pytest.fixture
def nothing_left(engine: Any) -> Iterator[None]:
    """Look at this deployer's containers alone: others may use the engine at the same time."""
    yield
    left = of_tei(engine)
    for one in left:
        with contextlib.suppress(Exception):
            one.remove(force=True)
    assert not left, "every test leaves the engine as it was"


def of_tei(engine: Any) -> list[Any]:
    return list(engine.containers.list(all=True, filters={"label": "embedrun=tei"}))


def embedded(url: str | None, body: dict[str, Any], key: str | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url or "").netloc, timeout=60)
    connection.request("POST", "/embed", json.dumps(body), {"Authorization": f"Bearer {key}"} if key else {})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


def contents(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


@pytest.mark.docker
@pytest.mark.usefixtures("nothing_left")
def test_the_container_answers_with_the_models_vectors_until_it_is_deleted(
    engine: Any, standin: str, small: Small, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_THE_SERVER", KEY)
    monkeypatch.setenv("HF_TOKEN", "planted-hub-token")
    settings = ModelSettings(prompts=Prompts(query="query: "), max_length=12, dimensions=16)
    model = Model(small(Pooling(32, "cls"), Normalize()), settings)
    notes: dict[str, Any] = {}
    deployer = TeiDeployer(image=standin, port=0, api_key_env="KEY_OF_THE_SERVER", memory="2g", cpus=1)
    made = deployer.run(dataclasses.replace(ctx, on_note=notes.__setitem__), model)
    endpoint = Endpoint.model_validate_json(made.model_dump_json())
    container = engine.containers.get(endpoint.details["container"])
    try:
        assert notes["worst_cosine"] > 0.999
        status, vectors = embedded(endpoint.url, {"inputs": ["hello"], "prompt_name": "query"}, KEY)
        assert status == 200
        np.testing.assert_allclose(vectors, model.load("cpu").encode_query(["hello"]), atol=1e-5)
        assert embedded(endpoint.url, {"inputs": "hello"})[0] == 401
        assert embedded(endpoint.url, {"inputs": ["x"] * 33}, KEY)[0] == 422
        written = contents(ctx.run.folder) + container.logs()
        assert KEY.encode() not in written + endpoint.model_dump_json().encode()
        assert b"planted-hub-token" not in json.dumps(container.attrs).encode()
        host = container.attrs["HostConfig"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert [(mount["Destination"], mount["RW"]) for mount in container.attrs["Mounts"]] == [("/model", False)]
    finally:
        deployer.delete(endpoint)
    assert not (ctx.out / "model").exists()
    deployer.delete(endpoint)


@pytest.mark.docker
@pytest.mark.usefixtures("nothing_left")
def test_a_later_run_replaces_the_container_of_an_earlier_one(
    engine: Any, standin: str, small: Small, ctx: Context, tmp_path: Path
) -> None:
    model = Model(small(Pooling(32, "mean")))
    first = TeiDeployer(image=standin, port=0).run(ctx, model)
    port = urlsplit(first.url or "").port or 0
    deployer = TeiDeployer(image=standin, port=port)
    try:
        deployer.resolve(Resolver(offline=True))  # the port is ours to take
        with pytest.raises(UserError, match="the port is taken; choose another port"):
            deployer.run(of_run(tmp_path, "1", "other"), model)
        with pytest.raises(StageError, match=r"did not answer within 0\.01 s"):
            TeiDeployer(image=standin, port=port, timeout=0.01).run(of_run(tmp_path, "2"), model)
        wait_for(first.url)  # a run that fails leaves the earlier one as it was
        notes: dict[str, Any] = {}
        second = deployer.run(dataclasses.replace(of_run(tmp_path, "3"), on_note=notes.__setitem__), model)
        assert (second.url, notes["replaced"]) == (first.url, "the server of demo/1")
        assert [one.id for one in of_tei(engine)] == [second.details["container"]]
        assert (Path(second.details["model"]).exists(), Path(first.details["model"]).exists()) == (True, False)
    finally:
        for one in of_tei(engine):
            one.remove(force=True)


def wait_for(url: str | None) -> None:
    deadline = time.monotonic() + 120
    while not healthy(url or ""):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.docker
@pytest.mark.usefixtures("nothing_left")
def test_without_the_export_the_container_fails_as_tei_does_and_its_log_is_shown(
    standin: str, small: Small, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_THE_SERVER", KEY)
    path = small(Pooling(32, "mean"))
    monkeypatch.setattr(TeiDeployer, "export", lambda _stage, folder, model: shutil.copytree(model.path, folder))
    deployer = TeiDeployer(image=standin, port=0, api_key_env="KEY_OF_THE_SERVER")
    with pytest.raises(StageError, match=r"ended with exit code 1 before it answered; its log ends:") as raised:
        deployer.run(ctx, Model(path))
    assert "missing field `max_seq_length`" in str(raised.value)
    assert not (ctx.out.parent / "endpoint.json").exists()
    assert not (ctx.out / "model").exists()
    assert KEY not in str(raised.value)


@pytest.mark.docker
def test_what_the_engine_lacks_is_missed_before_training(engine: Any, standin: str) -> None:
    missing = "localhost:1/none/text-embeddings-inference:cpu-1.9"
    with pytest.raises(UserError, match=rf"image {missing}: is not here, and cannot be had from its registry"):
        TeiDeployer(image=missing, port=0).resolve(Resolver())
    with pytest.raises(UserError, match="is not here, and offline it cannot be pulled"):
        TeiDeployer(image=missing, port=0).resolve(Resolver(offline=True))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="Address already in use"):
        TeiDeployer(image=standin, port=taken.getsockname()[1]).resolve(Resolver())
    if "nvidia" not in engine.info()["Runtimes"]:
        with pytest.raises(UserError, match="install the NVIDIA Container Toolkit"):
            TeiDeployer(image=standin, port=0, gpu=0).resolve(Resolver())


@pytest.mark.docker
@pytest.mark.usefixtures("nothing_left")
def test_a_gpu_that_the_engine_cannot_give_is_explained(engine: Any, standin: str, small: Small, ctx: Context) -> None:
    if "nvidia" in engine.info()["Runtimes"]:
        pytest.skip("this engine has GPUs")
    with pytest.raises(UserError, match=r"deployer\.gpu: the engine knows no NVIDIA GPUs: install"):
        TeiDeployer(image=standin, port=0, gpu=0).run(ctx, Model(small(Pooling(32, "mean"))))


@pytest.mark.docker
@pytest.mark.usefixtures("nothing_left")
def test_a_recipe_is_served_by_tei_and_deleted(project: Any, standin: str, engine: Any) -> None:
    from huggingface_hub import InferenceClient

    recipe(project, "sentence-transformers/all-MiniLM-L6-v2")
    done = project.run("r.yaml", "--set", f"deployer={{type: tei, port: 0, image: '{standin}'}}")
    assert done.code == 0, done.err
    (file,) = project.folder.glob("runs/r/*/deployments/tei/endpoint.json")
    url = json.loads(file.read_text())["endpoint"]["url"]
    client = InferenceClient(model=f"{url}/embed", api_key="none")
    assert client.feature_extraction("What does the warranty cover?").shape == (1, 384)
    again = project.run("r.yaml", "--rehearse", "--set", f"deployer={{type: tei, image: '{standin}'}}")
    assert again.code == 0, again.err
    assert "in its own container on a free port" in again.out + again.err
    assert project.run("delete", "r").code == 0
    assert of_tei(engine) == []
