"""What tests of generators share: AWS that is never the real one, and passages to ask about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import fake_llm
from embedrun.artifacts import Document, RetrievalSet
from embedrun.context import Context
from embedrun.stages import Generator
from fake_services import Services, serving

WORDS = "anchor lamp river stone cloud copper garden violin harbour pepper window saddle lantern meadow timber glacier"


@pytest.fixture(autouse=True)
def _no_real_service(monkeypatch, tmp_path) -> None:
    """Leave no credentials, files or servers of the machine in reach."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def passages(tmp_path) -> Callable[..., RetrievalSet]:
    """Write passages without queries."""
    words = WORDS.split()

    def write(count: int = 16, **metadata: Any) -> RetrievalSet:
        texts = (
            f"The {words[n % 16]} of house-{n} is kept in the {words[(n + 5) % 16]} room since {1900 + n}."
            for n in range(count)
        )
        documents = [Document.of(text, **metadata) for text in texts]
        return RetrievalSet.write(tmp_path / f"passages-{count}", documents=documents, queries=[], qrels={})

    return write


@dataclass
class Ran:
    """What a stage made, and what it reported."""

    made: RetrievalSet
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


@pytest.fixture
def ask(tmp_path) -> Callable[..., Ran]:
    """Run a generator; all runs of a test share what was answered."""
    runs = iter(range(1000))

    def run(
        stage: Generator, data: RetrievalSet, *, state: str | None = None, seed: int = 42, offline: bool = False
    ) -> Ran:
        folder = tmp_path / f"run-{next(runs)}"
        kept = tmp_path / state if state else folder / "state"
        kept.mkdir(parents=True, exist_ok=True)
        ran = Ran(RetrievalSet(folder / "out"))
        ctx = Context(
            out=folder / "out",
            state=kept,
            answers=tmp_path / "answers",
            seed=seed,
            offline=offline,
            on_note=ran.notes.__setitem__,
            on_warning=ran.warnings.append,
            on_progress=lambda label, *_: ran.labels.append(label),
        )
        assert stage.run(ctx, data).path == folder / "out"
        return ran

    return run


@pytest.fixture
def model() -> fake_llm.FakeModel:
    return fake_llm.FakeModel()


@pytest.fixture
def server(model) -> Iterator[Services]:
    with serving(*fake_llm.routes(model)) as services:
        yield services
