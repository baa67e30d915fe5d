"""Two real containers on a private network train as SageMaker would have them, on the quickstart's data."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
import uuid

import pytest

pytest.importorskip("docker")

pytestmark = pytest.mark.docker
HOSTS = ("algo-1", "algo-2")
GIVEN = {
    "recipe": "quickstart",
    "until": "trainer",
    "trainer.batch_size": 4,
    "trainer.epochs": 3,
    "trainer.logging_steps": 3,
}


@pytest.fixture
def network(engine):
    """A network of this test's own, that leads nowhere else."""
    made = engine.networks.create(f"embedrun-{uuid.uuid4().hex[:8]}", internal=True)
    yield made
    made.reload()
    for container in made.containers:
        made.disconnect(container, force=True)
    made.remove()


@pytest.fixture
def started(engine, image, network):
    """Start a job's machines in containers of the image, as SageMaker does: `train`, /opt/ml, and a name for each."""
    with contextlib.ExitStack() as stack:

        def start(machines):
            containers = []
            for machine in machines:
                endpoint = engine.api.create_endpoint_config(aliases=[machine.host])
                container = engine.containers.create(
                    image.id,
                    ["train", "--port", "7777"],
                    hostname=machine.host,
                    user="0",
                    shm_size="256m",
                    volumes={str(machine.prefix): {"bind": "/opt/ml", "mode": "rw"}},
                    environment={"OMP_NUM_THREADS": "1"},
                    network=network.name,
                    networking_config={network.name: endpoint},
                )
                stack.callback(container.remove, force=True)
                containers.append(container)
            for container in containers:
                container.start()
            return containers

        yield start


@pytest.fixture
def job(trained_by, material):
    """Make a job on the quickstart's data, with the tiny model in a channel."""

    def make(name, hosts, model, **given):
        machines = trained_by(name, hosts, **GIVEN, model=model, **given)
        for machine in machines:
            shutil.copytree(material / "model", machine.channel("model"), dirs_exist_ok=True)
            config = {"current_host": machine.host, "hosts": list(hosts), "network_interface_name": "eth0"}
            machine.configure("resourceconfig", config)
        return machines

    return make


def ended(containers) -> list[int]:
    return [container.wait(timeout=300)["StatusCode"] for container in containers]


def test_two_stopped_containers_go_on_to_what_two_processes_here_make(job, started, material):
    (here,) = job("here", ("algo-1",), material / "model", nproc_per_node=2)
    assert here.run() == 0, here.log
    stopped = job("stopped", HOSTS, "/opt/ml/input/data/model")
    containers = started(stopped)
    stop(containers, 12)
    logs = [container.logs().decode() for container in containers]
    assert ended(containers) == [143, 143], logs
    assert list(stopped[0].prefix.glob("checkpoints/store/tmp/*/state/checkpoints/checkpoint-*"))
    assert not (stopped[0].prefix / "output/failure").exists()
    again = job("again", HOSTS, "/opt/ml/input/data/model")
    (stopped[0].prefix / "checkpoints").rename(again[0].prefix / "checkpoints")
    containers = started(again)
    assert ended(containers) == [0, 0], [container.logs().decode() for container in containers]
    assert min(steps(containers[0])) > 12
    assert again[0].stages["trainer"]["key"] == here.stages["trainer"]["key"]
    assert again[0].stages["trainer"]["digest"] == here.stages["trainer"]["digest"]
    assert again[0].digest == here.digest


def stop(containers, step) -> None:
    """Stop a job as SageMaker does, as soon as training has come so far."""
    until = time.monotonic() + 240
    while not any(found >= step for found in steps(containers[0])):
        containers[0].reload()
        assert containers[0].status == "running", containers[0].logs().decode()
        assert time.monotonic() < until, [container.logs().decode() for container in containers]
        time.sleep(0.1)
    for container in containers:
        container.kill("SIGTERM")


def steps(container) -> list[int]:
    return [int(step) for step in re.findall(r"train:step=(\d+)", container.logs().decode())]
