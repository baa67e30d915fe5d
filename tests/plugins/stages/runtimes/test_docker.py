"""The runtime `docker` on a real engine: the same run as here, kept from everything else, and nothing left behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker

NAUGHTY = '''\
import os
import socket
import urllib.request
from pathlib import Path
from typing import Annotated, Literal

from embedrun import DataError, Source, Unkeyed, hookimpl
from embedrun.testing import small_set
from embedrun_plugins.stages.named_models import folder_of


class Naughty(Source):
    """Does what it should not."""

    type: Literal["naughty"] = "naughty"
    write: Annotated[str | None, Unkeyed] = None
    """A file to write."""
    connect: Annotated[int | None, Unkeyed] = None
    """A port of this machine to connect to."""
    read: Annotated[str | None, Unkeyed] = None
    """A variable to read."""
    seen: Annotated[str | None, Unkeyed] = None
    """A file to copy into the result."""
    claim: Annotated[str | None, Unkeyed] = None
    """A folder of runs in which to claim that something was deployed."""
    judge: str | None = None
    """A model to find by its hub id."""
    attempt: int = 1
    """To run again."""

    def columns_given(self):
        return frozenset({"positive"})

    def splits_given(self):
        return frozenset({"train", "dev", "test"})

    def run(self, ctx):
        if self.write:
            Path(self.write).write_text("was here")
        if self.connect:
            socket.create_connection(("127.0.0.1", self.connect), 5).close()
        if self.read and self.read not in os.environ:
            raise DataError(f"{self.read} is not in {sorted(os.environ)}")
        if self.seen:
            (ctx.out / "seen.txt").write_text(Path(self.seen).read_text())
        if self.claim:
            [run] = Path(self.claim).iterdir()
            (run / "deployments/local").mkdir()
        if self.judge:
            (ctx.out / "judge.txt").write_text((folder_of(self.judge, offline=True) / "config.json").read_text())
        return small_set(ctx.out)


@hookimpl
def embedrun_stages():
    return [Naughty]
'''

RECIPE = """\
model: model
plugins: [fakes.py, naughty.py]
source: {type: fake}
loss: fake
trainer: {type: fake}
evaluator: fake
"""


@pytest.fixture
def recipe(project, engine, image):
    project.write("model/config.json", "{}")
    project.write("naughty.py", NAUGHTY)
    project.write("r.yaml", f"{RECIPE}runtime: {{type: docker, image: '{image.reference}', gpus: none}}\n")
    yield project
    assert not containers(engine), "every test leaves the engine as it was"


def containers(engine):
    return engine.containers.list(all=True, filters={"label": "embedrun=run"})


def record(recipe):
    newest = max(recipe.folder.glob("runs/r/*/run.json"), key=lambda file: file.stat().st_mtime_ns)
    return json.loads(newest.read_text())


def test_a_run_in_a_container_is_the_same_run(recipe, image):
    inside = recipe.run("r.yaml")
    assert inside.code == 0, inside.err
    assert "+0.3000" in inside.out
    kept = record(recipe)
    assert kept["image"]["id"] == image.id
    assert kept["image"]["reference"] == image.reference
    here = recipe.run("r.yaml", "--json", "--set", "runtime=null")
    assert all(stage["cached"] for stage in here.json["stages"]), "what a container made is reused here"
    outside = recipe.run("r.yaml", "--json", "--set", "runtime=null", "--store", "other")
    assert outside.code == 0
    assert [s["digest"] for s in record(recipe)["stages"]] == [s["digest"] for s in kept["stages"]]


def test_what_was_made_here_is_reused_in_a_container(recipe):
    recipe.run("r.yaml", "--until", "source", "--set", "runtime=null")
    done = recipe.run("r.yaml", "--json")
    assert {stage["slot"]: stage["cached"] for stage in done.json["stages"]}["source"]


def test_what_a_container_writes_belongs_to_the_caller(recipe):
    done = recipe.run("r.yaml")
    assert done.code == 0, done.err
    made = list((recipe.folder / "runs").rglob("*"))
    assert [path for path in made if path.name == "corpus.jsonl"], "a stage's own files are among them"
    assert {path.stat().st_uid for path in made} == {os.getuid()}


@pytest.mark.parametrize("place", ["/etc/passwd", "/opt/embedrun/x", "/naughty", "/usr/bin/x", "{folder}/data.txt"])
def test_a_stage_cannot_write_outside_its_folders(recipe, place):
    recipe.write("data.txt", "as it was")
    file = place.format(folder=recipe.folder)
    mounts = f"runtime.mounts=[{recipe.folder}/data.txt]"
    done = recipe.run("r.yaml", "--set", "source.type=naughty", "--set", f"source.write={file}", "--set", mounts)
    assert done.code == 1
    assert "Read-only file system" in done.err or "Permission denied" in done.err
    assert (recipe.folder / "data.txt").read_text() == "as it was"


def test_a_stage_cannot_claim_a_deployment_that_this_machine_would_delete(recipe):
    done = recipe.run("r.yaml", "--set", "source.type=naughty", "--set", f"source.claim={recipe.folder}/runs/r")
    assert done.code == 1
    assert "Read-only file system" in done.err
    [run] = recipe.folder.glob("runs/r/*")
    assert not list(run.glob("deployments/*"))


def test_what_a_stage_writes_into_its_temporary_folder_never_reaches_the_machine(recipe):
    file = Path("/tmp/embedrun-naughty")
    file.unlink(missing_ok=True)
    words = ("--set", "source.type=naughty", "--set", f"source.write={file}", "--set", f"source.seen={file}")
    done = recipe.run("r.yaml", *words)
    assert done.code == 0, done.err
    [seen] = recipe.folder.glob("runs/.store/??/*/out/seen.txt")
    assert seen.read_text() == "was here", "the stage itself finds it there"
    assert not file.exists()


@pytest.fixture
def listening():
    """A port of this machine that something listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _accept(server):
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


def test_a_stage_reaches_no_network_unless_it_is_given_one(recipe, listening):
    words = ("r.yaml", "--set", "source.type=naughty", "--set", f"source.connect={listening}")
    kept_out = recipe.run(*words)
    assert kept_out.code == 1
    assert "ConnectionRefusedError" in kept_out.err or "Network is unreachable" in kept_out.err
    assert recipe.run(*words, "--set", "runtime.network=host").code == 0


def test_a_stage_sees_no_variable_that_it_was_not_given(recipe, monkeypatch):
    monkeypatch.setenv("A_SECRET", "do-not-tell")
    words = ("r.yaml", "--set", "source.type=naughty", "--set", "source.read=A_SECRET")
    refused = recipe.run(*words)
    assert refused.code == 2
    assert "A_SECRET is not in" in refused.err
    given = recipe.run(*words, "--set", "runtime.env=[A_SECRET]")
    assert given.code == 0, given.err
    written = b"".join(path.read_bytes() for path in (recipe.folder / "runs").rglob("*") if path.is_file())
    assert b"do-not-tell" not in written


def test_a_copy_of_a_hub_model_that_is_installed_here_is_found_by_its_id(recipe, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("site-packages")
    (folder / "weights").write_bytes(b"weights")
    (folder / "model").mkdir()
    (folder / "model/model.safetensors").symlink_to(folder / "weights")
    (folder / "model/config.json").write_text('{"is": "the judge"}')
    digest = hashlib.sha256(b"weights").hexdigest()
    copy = {"id": "acme/judge", "path": str(folder / "model"), "sha256": digest}
    monkeypatch.setenv("EMBEDRUN_MODELS", json.dumps([copy]))
    done = recipe.run("r.yaml", "--set", "source.type=naughty", "--set", "source.judge=acme/judge")
    assert done.code == 0, done.err
    [found] = recipe.folder.glob("runs/.store/??/*/out/judge.txt")
    assert found.read_text() == '{"is": "the judge"}'


def begin(recipe, *words, env=None):
    """Start the run in a process of its own, in whose children Ctrl-C works."""
    return subprocess.Popen(
        [sys.executable, "-m", "embedrun", "run", "r.yaml", "--set", "trainer.epochs=40", *words],
        cwd=recipe.folder,
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # noqa: PLW1509
    )


def training(recipe, engine):
    """Wait until the run's container trains, and return it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        steps = list(recipe.folder.glob("runs/.store/tmp/*/state/steps.json"))
        if steps and (found := containers(engine)):
            return found[0]
        time.sleep(0.1)
    raise AssertionError("no container trains")


def gone(engine):
    deadline = time.monotonic() + 60
    while containers(engine) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not containers(engine)


SLOWLY = ("--set", "trainer.wait=0.5")


def resumes(recipe):
    """Run to the end and say whether the steps that were done before were not done again."""
    done = recipe.run("r.yaml", "--json", "--set", "trainer.epochs=40", "--set", "trainer.wait=0")
    model = next(path for path in recipe.folder.glob("runs/.store/??/*/out/config.json"))
    return done.code == 0 and json.loads(model.read_text())["steps"] == list(range(40))


def half_made(recipe):
    folders = recipe.folder.glob("runs/.store/??/*")
    return [folder for folder in folders if not (folder / "manifest.json").exists()]


def test_ctrl_c_ends_the_container_and_the_next_run_goes_on(recipe, engine):
    process = begin(recipe, *SLOWLY)
    training(recipe, engine)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted; run the same command again to continue from here" in said
    assert gone(engine)
    assert record(recipe)["status"] == "interrupted"
    assert not half_made(recipe)
    assert resumes(recipe)


def test_a_client_that_is_killed_takes_its_container_along(recipe, engine):
    process = begin(recipe, *SLOWLY)
    training(recipe, engine)
    process.kill()
    process.communicate()
    assert gone(engine)
    assert record(recipe)["status"] == "interrupted"
    assert not half_made(recipe)
    assert resumes(recipe)


def test_a_run_that_nobody_can_see_any_more_ends_and_the_next_goes_on(recipe, engine):
    process = begin(recipe, *SLOWLY)
    deadline = time.monotonic() + 60
    while not containers(engine) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.stderr.close()
    process.wait(timeout=60)
    assert gone(engine)
    assert record(recipe)["status"] in ("interrupted", "failed"), "it is not left to run, nor called the engine's fault"
    assert "the engine" not in str(record(recipe).get("error"))
    assert not half_made(recipe)
    assert resumes(recipe)


def test_a_container_that_is_killed_is_told_of(recipe, engine):
    process = begin(recipe, *SLOWLY)
    training(recipe, engine).kill()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "the container was stopped from outside (SIGKILL) in trainer" in said
    assert gone(engine)
    assert record(recipe)["status"] == "failed"
    assert resumes(recipe)


def test_running_out_of_memory_says_where_and_what_to_do(recipe, engine):
    recipe.write("hungry.py", HUNGRY)
    words = ("--set", "plugins=[fakes.py, hungry.py]", "--set", "source.type=hungry")
    done = recipe.run("r.yaml", *words, "--set", "runtime.memory=256m")
    assert done.code == 1
    assert "ran out of memory and was killed at 256m in source: lower batch_size, or raise memory" in done.err
    assert record(recipe)["status"] == "failed"
    assert not half_made(recipe)


HUNGRY = '''\
from typing import Literal

from embedrun import Source, hookimpl


class Hungry(Source):
    """Wants all memory."""

    type: Literal["hungry"] = "hungry"

    def columns_given(self):
        return frozenset({"positive"})

    def splits_given(self):
        return frozenset({"train", "dev", "test"})

    def run(self, ctx):
        held = [bytearray(2**22) for _ in range(512)]
        return len(held)


@hookimpl
def embedrun_stages():
    return [Hungry]
'''


def test_a_secret_is_never_told_to_the_engine(recipe, engine):
    process = begin(recipe, *SLOWLY, "--set", "runtime.env=[A_SECRET]", env={"A_SECRET": "do-not-tell"})
    try:
        container = training(recipe, engine)
        assert "do-not-tell" not in json.dumps(container.attrs)
        assert container.attrs["Config"]["User"] == f"{os.getuid()}:{os.getgid()}"
        host = container.attrs["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["NetworkMode"] == "none"
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Init"]
        assert host["PidsLimit"] == 4096
    finally:
        process.kill()
        process.communicate()
    assert gone(engine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("runtime.mounts=[/no/such/folder]", "mounts.0: /no/such/folder: no such file or folder"),
        ("runtime.env=[NOT_SET_ANYWHERE]", "env: the environment variable NOT_SET_ANYWHERE is not set"),
        ("runtime.memory=lots", "runtime.memory"),
        ("runtime.network=wifi", "runtime.network"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(recipe, change, message):
    done = recipe.run("r.yaml", "--set", change)
    assert done.code == 2
    assert message in done.err


def test_without_an_engine_the_run_says_what_to_do(recipe, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{recipe.folder}/no.sock")
    done = recipe.run("r.yaml")
    assert done.code == 2
    assert "no container engine at" in done.err
    assert record(recipe)["status"] == "failed"


def test_gpus_on_a_machine_without_any_are_refused_with_what_to_do(recipe):
    if any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg")):
        pytest.skip("this machine has GPUs")
    done = recipe.run("r.yaml", "--set", "runtime.gpus=all")
    assert done.code == 2
    assert "install the NVIDIA Container Toolkit" in done.err
