"""What the tests of embedders share: services on loopback, and a context that notes what is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from embedrun.artifacts import Encoder
from embedrun.context import Context
from embedrun.stages import Embedder
from embedrun_plugins.services import aws
from embedrun_plugins.services.endpoints import transports
from fake_embedders import Embedders, routes
from fake_services import Services, serving


@pytest.fixture
def embedders() -> Embedders:
    return Embedders()


@pytest.fixture
def services(embedders, monkeypatch) -> Iterator[Services]:
    """The fake services, with credentials that only they take, and no waiting between tries."""
    monkeypatch.setattr(transports, "FIRST_PAUSE", 0.001)
    # botocore waits for the rate that its adaptive mode allows.
    monkeypatch.setattr(aws, "TRIES", 3)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.001)
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0.001)
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "nowhere")
    monkeypatch.setenv("HF_TOKEN", "hf_not_for_them")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-them")
    with serving(*routes(embedders)) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", found.url)
        yield found


@dataclass
class Rival:
    """A connected embedder, and what it reports."""

    encoder: Encoder
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    progress: list[tuple[str, float, float | None]] = field(default_factory=list)

    def queries(self, *texts: str) -> Any:
        return self.encoder.encode_query(list(texts), batch_size=32, show_progress_bar=False)

    def documents(self, *texts: str) -> Any:
        return self.encoder.encode_document(list(texts), batch_size=32, show_progress_bar=False)


@pytest.fixture
def connect(tmp_path: Path) -> Callable[[Embedder], Rival]:
    """Connect an embedder as the engine does; all share one folder of answers."""

    def connected(stage: Embedder) -> Rival:
        notes: dict[str, Any] = {}
        warnings: list[str] = []
        progress: list[tuple[str, float, float | None]] = []
        ctx = Context(
            out=tmp_path / "out",
            state=tmp_path / "state",
            answers=tmp_path / "answers",
            device="cpu",
            on_note=notes.__setitem__,
            on_warning=warnings.append,
            on_progress=lambda *given: progress.append(given),
        )
        return Rival(stage.connect(ctx), notes, warnings, progress)

    return connected
