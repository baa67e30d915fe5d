"""Every kind of model goes the whole way: check, training, kill, vectors, mix, export, TEI, server and verify."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from starlette.testclient import TestClient

from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context
from embedrun.testing import small_set
from embedrun_plugins.models import model_faults
from embedrun_plugins.models.encode import embed
from embedrun_plugins.models.export import export
from embedrun_plugins.models.serving.app import App
from embedrun_plugins.models.serving.embedder import RequestEmbedder
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.services.endpoints.parity.gate import Gate
from embedrun_plugins.services.tei import compatibility
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.mergers.linear import Linear
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer
from model_kinds import KINDS, Kind, build, page

ROOT = Path(__file__).parents[3]
TEXTS = ["lamp river", "stone", "cloud copper garden violin harbour", "pepper " * 20, "window saddle lantern"]
USABLE = [kind for kind in KINDS if not kind.refused]
SIXTEEN = ("float16", "bfloat16")


KILLED = list({(kind.architecture, kind.dtype, str(kind.trainer)): kind for kind in reversed(USABLE)}.values())
"""The first of each architecture, number format and adapter: what else differs is no state of training."""


class Killed(BaseException):
    """Stops everything, as a kill would."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> RetrievalSet:
    return small_set(tmp_path_factory.mktemp("data"))


def train(folder, model: Model, data: RetrievalSet, kind: Kind, *, kill_at: int | None = None, **options) -> Model:
    (folder / "out").mkdir(parents=True, exist_ok=True)

    def progress(_, step, __):
        if step == kill_at:
            raise Killed

    ctx = Context(out=folder / "out", state=folder / "state", device="cpu", on_progress=progress)
    given = {"batch_size": 5, "max_steps": 2, "learning_rate": 1e-3, "dropout": 0.0, "logging_steps": 1} | kind.trainer
    trainer = SentenceTransformersTrainer(save_strategy="steps", save_steps=1, save_min_seconds=0, **given, **options)
    return trainer.run(ctx, data, model, MultipleNegativesRanking(), None)


def weights(model: Model) -> dict[str, bytes]:
    files = sorted(model.path.rglob("*.safetensors"))
    return {str(file.relative_to(model.path)): file.read_bytes() for file in files}


def losses(model: Model) -> list[float]:
    history = json.loads((model.path / "training_history.json").read_text())
    return [entry["loss"] for entry in history["log"] if "loss" in entry]


def same(first: np.ndarray, second: np.ndarray, kind: Kind) -> None:
    first, second = (np.asarray(vectors, dtype=np.float64) for vectors in (first, second))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(1)[lengths > 0] / lengths[lengths > 0]
    assert cosines.min() > (0.995 if kind.dtype in SIXTEEN else 0.99999)


@pytest.mark.parametrize("kind", USABLE, ids=lambda kind: kind.name)
def test_a_kind_goes_the_whole_way(kind, tmp_path, data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = Model(build(kind, tmp_path / "model"))
    assert model_faults.faults(base) == []
    assert_embedded_as_one_by_one(kind, base)
    tuned = train(tmp_path / "tuned", base, data, kind)
    assert losses(tuned) == pytest.approx(losses(train(tmp_path / "plain", base, data, kind, grouping="off")), abs=2e-3)
    if kind in KILLED:
        with pytest.raises(Killed):
            train(tmp_path / "again", base, data, kind, kill_at=1)
        assert weights(train(tmp_path / "again", base, data, kind)) == weights(tuned)
    merged = assert_mixed(kind, tmp_path, data, base, tuned)
    exported = merged
    if kind.exported:
        export(merged, tmp_path / "exported")
        exported = Model(tmp_path / "exported")
        for first, second in zip(vectors(merged), vectors(exported), strict=True):
            same(first, second, kind)
    assert_judged_for_tei(kind, base)
    assert_served(kind, exported)


def vectors(model: Model) -> list[np.ndarray]:
    loaded = model.load("cpu")
    return [embed(loaded, TEXTS, role).numpy() for role in ("query", "document")]


def assert_embedded_as_one_by_one(kind: Kind, model: Model) -> None:
    loaded = model.load("cpu")
    for role, encode in (("query", loaded.encode_query), ("document", loaded.encode_document)):
        alone = np.concatenate([np.asarray(encode([text], show_progress_bar=False)) for text in TEXTS])
        if kind.unpadded:
            same(embed(loaded, TEXTS, role).numpy(), alone, kind)


def assert_mixed(kind: Kind, folder: Path, data: RetrievalSet, base: Model, tuned: Model) -> Model:
    out = folder / "merged"
    out.mkdir()
    merged = Linear().run(Context(out=out, state=folder / "merging", device="cpu"), data, base, tuned, None)
    files = sorted(file.relative_to(tuned.path) for file in tuned.path.rglob("*.safetensors"))
    for file in files:
        mixed, after = load_file(merged.path / file), load_file(tuned.path / file)
        before = load_file(base.path / file)
        for name, tensor in mixed.items():
            wanted = 0.25 * before[name].float() + 0.75 * after[name].float()
            assert np.allclose(tensor.float(), wanted, atol=1e-2 if kind.dtype in SIXTEEN else 1e-6), name
    return merged


def assert_judged_for_tei(kind: Kind, model: Model) -> None:
    faults = list(compatibility.faults(model.path, model.settings))
    if kind.tei:
        assert any(kind.tei in fault for fault in faults) or kind.tei == "GPU", faults
    else:
        assert faults == []


def assert_served(kind: Kind, model: Model) -> None:
    metrics = Metrics()
    with TestClient(App(RequestEmbedder(model, ServerLimits(), metrics), metrics).starlette()) as client:

        class InProcess:
            where = "here"

            def send(self, body: bytes) -> bytes:
                answer = client.post("/embed", content=body)
                assert answer.status_code == 200, answer.text
                return answer.content

            async def send_async(self, body: bytes) -> bytes:
                return self.send(body)

            def close(self) -> None: ...

        proof = Gate.of(model).prove(InProcess())
        assert proof.holds, str(proof)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft's
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.refused], ids=lambda kind: kind.name)
def test_what_is_no_dense_embedder_is_refused_with_the_reason(kind, tmp_path):
    (fault, *_) = model_faults.faults(Model(build(kind, tmp_path / "model")))
    assert kind.refused in fault


def test_there_are_kinds_enough():
    assert len(KINDS) >= 45
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_the_page_of_models_is_what_is_tried():
    assert (ROOT / "docs/models.md").read_text("utf-8") == page(), "python tests/model_kinds.py > docs/models.md"
