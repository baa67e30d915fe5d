"""A server in this process, around the real model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from embedrun.artifacts import Model
from embedrun.model_settings import ModelSettings, Prompts
from embedrun_plugins.models.serving.app import App
from embedrun_plugins.models.serving.embedder import RequestEmbedder
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.metrics import Metrics


@pytest.fixture(scope="session")
def model(minilm: Path) -> Model:
    return Model(minilm, ModelSettings(prompts=Prompts(query="query: ", document=""), max_length=64))


@pytest.fixture(scope="session")
def client(model: Model) -> Iterator[TestClient]:
    metrics = Metrics()
    limits = ServerLimits(max_client_batch_size=8, payload_limit=10_000)
    with TestClient(App(RequestEmbedder(model, limits, metrics), metrics).starlette()) as client:
        yield client
