"""What stands in for outside services."""

from __future__ import annotations

import numpy as np
import pytest

from embedrun import Context, Rehearsal
from embedrun.testing import small_set
from embedrun_plugins.cli.rehearsal.no_network import quiet
from embedrun_plugins.stages.embedders.bedrock import BedrockEmbedder as BedrockVectors
from embedrun_plugins.stages.embedders.openai import OpenAIEmbedder as OpenAIVectors
from embedrun_plugins.stages.embedders.tei import TeiEmbedder
from embedrun_plugins.stages.generators.bedrock import Bedrock
from embedrun_plugins.stages.generators.openai import OpenAI
from embedrun_plugins.stages.generators.rehearsal import Questions


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture
def rehearsal(tmp_path):
    return Rehearsal(tmp_path)


def _said(rehearsal: Rehearsal) -> str:
    return " ".join(note.sentence for note in rehearsal.notes)


@pytest.fixture
def ctx(tmp_path):
    (tmp_path / "out").mkdir()
    return Context(out=tmp_path / "out", state=tmp_path, answers=tmp_path / "answers", offline=True)


def _corpus(folder):
    made = small_set(folder)
    for name in ("qrels", "negatives"):
        for file in (folder / name).glob("*"):
            file.unlink()
    return made


GENERATORS = [
    Bedrock(budget=0.01, region="us-east-1", questions_per_passage=3),
    OpenAI(model="gpt-4o-mini", budget_calls=100, questions_per_passage=3),
    OpenAI(model="m", base_url="http://127.0.0.1:9/v1", structured_output=True, questions_per_passage=3),
    Bedrock(region="us-east-1", questions_per_passage=3, prompt="{questions_per_passage} about: {passage}"),
]


@pytest.mark.parametrize("stage", GENERATORS, ids=["bedrock", "openai", "structured", "prompt"])
def test_a_language_model_is_not_asked_and_its_questions_are_read_as_in_a_run(stage, ctx, rehearsal, tmp_path):
    with quiet():
        made = stage.rehearsal(rehearsal).run(ctx, _corpus(tmp_path / "data"))
    assert len(made.relevant("train")) > 24
    assert "is not called" in _said(rehearsal)


def test_missing_credentials_are_told_and_fail_nothing(rehearsal):
    with quiet():
        GENERATORS[0].rehearsal(rehearsal)
        OpenAI(model="m").rehearsal(rehearsal)
    said = _said(rehearsal)
    assert "a run from here would stop: bedrock-runtime: there are no AWS credentials" in said
    assert "OPENAI_API_KEY is not set" in said


def test_questions_are_about_words_of_the_passage():
    prompt = f"{'Write questions about this. ' * 9}\n\n<passage>\nCopper lanterns shine.\n</passage>\n\nAsk now."
    asked = Questions(1).ask({"prompt": prompt}).text
    assert all(word in asked for word in ("Copper", "lanterns", "shine"))


def test_each_passage_is_asked_about_in_other_words():
    service = Questions(2)
    replies = {service.ask({"prompt": f"Passage {n} tells of copper, lanterns and rivers."}).text for n in range(8)}
    assert len(replies) > 1


@pytest.mark.parametrize(
    ("stage", "size"),
    [
        (BedrockVectors(dimensions=512), 512),
        (BedrockVectors(model="cohere.embed-english-v3"), 1024),
        (OpenAIVectors(model="text-embedding-3-small", dimensions=256), 256),
        (TeiEmbedder(url="https://tei.example.com", name="theirs"), 384),
    ],
    ids=["titan", "cohere", "openai", "tei"],
)
def test_nothing_is_sent_to_what_is_compared_with(stage, size, ctx, rehearsal):
    with quiet():
        instead = stage.rehearsal(rehearsal)
        found = instead.connect(ctx).encode_query(
            ["where is it?", "here it is", ""], batch_size=2, show_progress_bar=False
        )
    assert found.shape == (3, size)
    assert instead.role == stage.role
    assert np.isfinite(found).all()
