"""What the SageMaker simulator starts behind an endpoint: stand-ins in this process, or real containers."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ports
from embedrun.artifacts import Model
from embedrun_plugins.services.endpoints.transports import Refused
from embedrun_plugins.services.sagemaker.local_check import Here
from embedrun_plugins.services.tei.compatibility import start_faults
from sagemaker_simulator import NoContainerError, Running

Invoke = Callable[[bytes], bytes]


@dataclass
class InProcess:
    """Something that answers without a container."""

    answer: Invoke

    def invoke(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        try:
            return 200, self.answer(body)
        except Refused as error:
            return error.status, json.dumps({"code": error.status, "message": error.said}).encode()

    def stop(self) -> None:
        """There is nothing to stop."""


def script(image: str, environment: Mapping[str, str], folder: Path) -> Running:
    """Run the archive's own `code/inference.py` in this process."""
    assert "huggingface-pytorch-inference" in image
    return InProcess(Here.of(folder).send)


def text_embeddings_inference(image: str, environment: Mapping[str, str], folder: Path) -> Running:
    """Answer as TEI does, and refuse to start where it would."""
    assert "tei" in image
    if environment.get("HF_MODEL_ID") != "/opt/ml/model":
        raise NoContainerError("exit code 1", "Error: HF_MODEL_ID must be set")
    if faults := list(start_faults(folder)):
        raise NoContainerError("exit code 1", f"Error: {'; '.join(faults)}")
    return serving(folder)


def serving(folder: Path) -> InProcess:
    """Answer TEI's requests with an exported model."""
    loaded = Model(folder).load("cpu")

    def answer(body: bytes) -> bytes:
        asked = json.loads(body)
        prompt = loaded.prompts[asked["prompt_name"]] if asked.get("prompt_name") else ""
        texts = [asked["inputs"]] if isinstance(asked["inputs"], str) else asked["inputs"]
        return json.dumps(loaded.encode(texts, prompt=prompt, show_progress_bar=False).tolist()).encode()

    return InProcess(answer)


@dataclass
class Container:
    """A container on the engine."""

    container: Any
    url: str

    def invoke(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        request = urllib.request.Request(f"{self.url}/invocations", body, {"Content-Type": content_type}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def stop(self) -> None:
        self.container.remove(force=True)


@dataclass(frozen=True)
class Engine:
    """Starts containers by SageMaker's contract: `serve`, the model at /opt/ml/model, /ping and /invocations."""

    client: Any
    images: Mapping[str, str]
    """The image that stands for each that a name contains."""
    seconds: float = 240.0

    def __call__(self, image: str, environment: Mapping[str, str], folder: Path) -> Running:
        local = next((found for part, found in self.images.items() if part in image), None)
        if local is None:
            raise NoContainerError(f"CannotPullContainer: {image}")
        folder.chmod(0o755)
        port = ports.free()
        bridged = bool(self.client.networks.list(names=["bridge"]))
        reached = {"ports": {"8080/tcp": ("127.0.0.1", port)}} if bridged else {"network_mode": "host"}
        told = dict(environment) if bridged else {**environment, "SAGEMAKER_BIND_TO_PORT": str(port), "PORT": str(port)}
        volumes = {str(folder): {"bind": "/opt/ml/model", "mode": "ro"}}
        container = self.client.containers.create(
            local, ["serve"], environment=told, volumes=volumes, init=True, labels={"embedrun-test": "1"}, **reached
        )
        started = Container(container, f"http://127.0.0.1:{port}")
        try:
            container.start()
            self._wait(started)
        except BaseException:
            started.stop()
            raise
        return started

    def _wait(self, started: Container) -> None:
        deadline = time.monotonic() + self.seconds
        while True:
            started.container.reload()
            if started.container.status == "exited":
                code = started.container.attrs["State"]["ExitCode"]
                raise NoContainerError(f"exit code {code}", started.container.logs(tail=15).decode("utf-8", "replace"))
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"{started.url}/ping", timeout=2).status == 200:
                    return
            if time.monotonic() > deadline:
                said = started.container.logs(tail=15).decode("utf-8", "replace")
                raise NoContainerError("no answer to /ping", said)
            time.sleep(0.3)
