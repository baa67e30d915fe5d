"""The image on a real engine: one for every runtime, small, and of nothing but what was packed."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace

import pytest

from embedrun.errors import StageError
from embedrun_plugins.services import docker as images
from embedrun_plugins.services.docker.contents import BuildContext
from embedrun_plugins.services.docker.wheels import Packed

docker = pytest.importorskip("docker")
container_engine = pytest.importorskip("container_engine")

pytestmark = pytest.mark.docker


@pytest.fixture
def run(engine, image):
    """Run a command in the image and return what it prints on both streams."""

    def start(*words: str, **options) -> str:
        options = {"read_only": True, "user": "12345:12345", "network_mode": "none", "cap_drop": ["ALL"], **options}
        return engine.containers.run(image.id, list(words), remove=True, stderr=True, **options).decode()

    return start


@pytest.fixture
def shell(run):
    """Run a line of shell in the image, as root."""

    def start(line: str) -> str:
        return run("-c", line, entrypoint="sh", user="0", read_only=False, cap_drop=[])

    return start


def test_the_command_line_works_for_any_user_with_a_root_that_cannot_be_written(run, image):
    assert run("--version").split() == ["embedrun", image.labels["org.opencontainers.image.version"]]
    assert "matryoshka" in run("plugins")
    assert "quickstart.yaml: ok" in run("check", "quickstart", "--set", "model=/opt", tmpfs={"/tmp": ""})


def test_torch_works_for_a_user_without_a_name_or_a_home(run):
    program = "import torch, sentence_transformers, getpass; print(getpass.getuser(), (torch.ones(2) + 1).tolist())"
    assert run("-c", program, entrypoint="python3", tmpfs={"/tmp": ""}).splitlines()[-1] == "embedrun [2.0, 2.0]"


def test_nothing_that_only_built_it_is_left(shell):
    assert shell("command -v gcc cc make pip pip3 || true").split() == []
    places = "/tmp /root/.cache /home/embedrun /var/lib/apt/lists /opt/embedrun/wheels"
    assert shell(f"find {places} -type f -size +0 2>/dev/null || true") == ""
    assert shell("find / -xdev -name '*.safetensors' -o -xdev -name '*.gguf'") == ""


def test_its_code_is_compiled_to_bytecode_since_nobody_can_do_so_later(shell):
    for module in ("embedrun", "embedrun_plugins", "torch", "transformers"):
        assert "__init__.cpython" in shell(f"ls /opt/embedrun/lib/python3*/site-packages/{module}/__pycache__")


def test_it_runs_as_a_user_without_rights_by_default(run):
    assert run("-c", "id -u", entrypoint="sh", user="").strip() == "1000"


def test_its_labels_say_what_it_was_made_of(image):
    assert image.labels["org.opencontainers.image.title"] == "embedrun"
    assert image.labels["embedrun.extras"] == ",".join(sorted(images.DEFAULT_EXTRAS))
    assert image.labels["embedrun.constraints"].startswith("sha256:")
    assert len(image.labels["org.opencontainers.image.revision"].removesuffix("-dirty")) in (7, 40)


PLUGIN = """
from embedrun import Command, hookimpl

@hookimpl
def embedrun_commands():
    return [Command("acme", "Says hello.", lambda parser: None, lambda arguments: print("hello") or 0)]
"""


def with_plugin(packed: BuildContext, code: str, reference: str) -> BuildContext:
    """Pack another plugin beside embedrun."""
    described = {"METADATA": b"Metadata-Version: 2.1\nName: acme\nVersion: 1\n"}
    wheel = Packed(
        "acme", "1", {"acme.py": code.encode()}, {**described, "entry_points.txt": b"[embedrun]\na = acme\n"}
    )
    return replace(packed, files={**packed.files, f"wheels/{wheel.file_name}": wheel.wheel()}, reference=reference)


def test_changed_code_and_another_plugin_install_nothing_else_again(engine, image, packed):
    lines: list[str] = []
    network = container_engine.network(engine)
    try:
        again = images.build(
            engine, with_plugin(packed, PLUGIN, "embedrun:tests-plugin"), lines.append, network=network
        )
        assert engine.containers.run(again.id, ["acme"], remove=True, network_mode="none") == b"hello\n"
        shared = [layer for layer in again.layers if layer in image.layers]
        assert sum(layer.size for layer in shared) > 0.98 * image.size
        assert not [line for line in lines if "Downloading" in line]
    finally:
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.images.remove("embedrun:tests-plugin", force=True)


def test_building_again_what_is_there_gives_the_same_image(engine, image, packed):
    assert images.build(engine, packed, print).id == image.id


def test_a_plugin_that_cannot_be_loaded_in_the_image_fails_the_build(engine, image, packed):
    broken = with_plugin(packed, "import no_such_module\n", "embedrun:tests-broken")
    with pytest.raises(StageError, match="No module named 'no_such_module'"):
        images.build(engine, broken, print, network=container_engine.network(engine))
    assert images.describe(engine, "embedrun:tests-broken") is None


def test_sagemakers_word_for_training_is_understood(run):
    assert "sagemaker-train" in run("train", "--help", tmpfs={"/tmp": ""})


@pytest.fixture(scope="module")
def served(engine, image, minilm):
    """Serve a model as SageMaker does."""
    container = engine.containers.create(
        image.id,
        ["serve"],
        user="12345",
        read_only=True,
        tmpfs={"/tmp": ""},
        network_mode="none",
        environment={"SAGEMAKER_BIND_TO_PORT": "9090", "OMP_NUM_THREADS": "1"},
        volumes={str(minilm): {"bind": "/opt/ml/model", "mode": "ro"}},
    )
    try:
        container.start()
        yield container
    finally:
        container.remove(force=True)


def health(container, wanted: str, seconds: float = 120) -> str:
    """Wait for a container to be well, or not to be, and return how it is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        container.reload()
        now = container.attrs["State"]["Health"]["Status"]
        if now == wanted or container.status == "exited":
            break
        time.sleep(0.5)
    return now


def ask(container, path: str, body: object = None) -> object:
    program = (
        "import json, sys, urllib.request as u\n"
        "data = sys.argv[2].encode() if len(sys.argv) > 2 else None\n"
        "print(u.urlopen(u.Request('http://127.0.0.1:9090' + sys.argv[1], data)).read().decode())"
    )
    words = ["python3", "-c", program, path, *([json.dumps(body)] if body else [])]
    return container.exec_run(words).output.decode()


def test_sagemakers_word_for_serving_serves_its_model_on_its_port_and_is_healthy(served):
    assert health(served, "healthy") == "healthy", served.logs().decode()
    assert len(json.loads(str(ask(served, "/invocations", {"inputs": "who is on call?"})))[0]) == 384


def test_a_server_that_does_not_answer_is_not_well(served):
    assert health(served, "healthy") == "healthy", served.logs().decode()
    served.kill(signal="SIGSTOP")
    assert served.exec_run(["python3", "-I", "-S", "/opt/embedrun/health.py"]).exit_code == 1
    served.kill(signal="SIGCONT")


def test_a_container_that_trains_is_well(engine, image):
    container = engine.containers.create(image.id, ["-c", "sleep 60"], entrypoint="sh")
    try:
        container.start()
        assert container.exec_run(["python3", "-I", "-S", "/opt/embedrun/health.py"]).exit_code == 0
    finally:
        container.remove(force=True)
