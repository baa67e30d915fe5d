"""Without a usable engine, it is said why, and what to do about it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from embedrun.errors import MissingPackageError, UserError
from embedrun_plugins.services.docker import engine


@pytest.fixture
def refusal(monkeypatch):
    pytest.importorskip("docker")

    def ask(address: str) -> str:
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(UserError) as error:
            engine.client()
        return str(error.value)

    return ask


def test_an_engine_that_is_not_installed(refusal, tmp_path):
    said = refusal(f"unix://{tmp_path}/none.sock")
    assert f"no container engine at unix://{tmp_path}/none.sock (DOCKER_HOST): install Docker" in said


def test_an_engine_that_does_not_run(refusal, tmp_path):
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(f"{tmp_path}/left.sock")
    assert "start it (sudo systemctl start docker" in refusal(f"unix://{tmp_path}/left.sock")
    assert "start it (sudo systemctl start docker" in refusal("tcp://127.0.0.1:1")


@pytest.mark.parametrize("address", ["tcp://nowhere.invalid:2375", "somewhere", "https://"])
def test_a_wrong_address(refusal, address):
    assert "DOCKER_HOST or Docker's context" in refusal(address)


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can act as another user")
def test_a_socket_that_others_own(tmp_path_factory):
    pytest.importorskip("docker")
    folder = tmp_path_factory.mktemp("engine", numbered=True)
    for path in (folder, *folder.parents[:-2]):
        path.chmod(path.stat().st_mode | 0o011)
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(f"{folder}/docker.sock")
        line.listen()
        (folder / "docker.sock").chmod(0o660)
        program = (
            "import os, sys\n"
            "from embedrun_plugins.services.docker import engine\n"
            "import docker, requests, docker.context, docker.errors\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "try:\n    engine.client()\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
        )
        environment = {**os.environ, "DOCKER_HOST": f"unix://{folder}/docker.sock"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
        )
    assert done.stdout.startswith("UserError no permission to use the container engine"), done.stderr
    assert "sudo usermod -aG root $USER, then log in again" in done.stdout


def test_the_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'embedrun\[docker\]'"):
        engine.client()
