"""Mixing models: every tensor is the weighted average, and the rest stays as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedrun.artifacts import Model
from embedrun.context import Context, Resolver
from embedrun.errors import UserError
from embedrun.model_settings import ModelSettings, Prompts
from embedrun.testing import check_stage, small_set, tiny_model
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.stages.evaluators.similarity_pairs import SimilarityPairs
from embedrun_plugins.stages.mergers.linear import Linear, Weighted
from embedrun_plugins.stages.mergers.search import Search

TEXTS = ["where is the anchor?", "The lamp is kept in room 1 of house 1.", "river stone cloud", "a"]


def moved(model: Model, folder: Path, seed: int = 1, size: float = 0.05) -> Model:
    """Copy a model, all its weights moved a little."""
    shutil.copytree(model.path, folder)
    generator = torch.Generator().manual_seed(seed)
    for file in folder.rglob("model.safetensors"):
        tensors = {
            key: tensor + size * torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
            for key, tensor in load_file(file).items()
        }
        save_file(tensors, file, metadata={"format": "pt"})
    return Model(folder)


def context(folder: Path, **reports: Any) -> Context:
    (folder / "out").mkdir(parents=True)
    (folder / "state").mkdir()
    return Context(out=folder / "out", state=folder / "state", device="cpu", offline=True, **reports)


def tensors(model: Model) -> dict[str, torch.Tensor]:
    return {
        f"{file.relative_to(model.path)}/{key}": tensor
        for file in sorted(model.path.rglob("model.safetensors"))
        for key, tensor in load_file(file).items()
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    return moved(base, tmp_path_factory.mktemp("tuned") / "tuned")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_set(tmp_path_factory.mktemp("data") / "small")


def merge(stage, folder, data, base, tuned, dev=None, **reports):
    return stage.run(context(folder, **reports), data, base, tuned, dev)


def test_every_tensor_is_the_weighted_average(base, tuned, data, tmp_path):
    notes = {}
    merged = merge(Linear(), tmp_path, data, base, tuned, on_note=notes.__setitem__)
    one, other, mixed = tensors(base), tensors(tuned), tensors(merged)
    assert one.keys() == mixed.keys()
    for key, tensor in mixed.items():
        expected = 0.25 * one[key].double() + 0.75 * other[key].double()
        torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=0)
    assert notes == {"base": 0.25, "tuned": 0.75}
    assert not torch.equal(*(found["model.safetensors/embeddings.word_embeddings.weight"] for found in (one, mixed)))


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_pooling_and_vectors_are_the_same_after_saving(pooling, data, tmp_path):
    from embedrun_plugins.stages.mergers.weight_average import Mix

    base = tiny_model(tmp_path / "base", pooling=pooling)
    tuned = moved(base, tmp_path / "tuned")
    merged = merge(Linear(), tmp_path / "run", data, base, tuned)
    before = Mix.of(context(tmp_path / "mix"), base, tuned).weigh(0.25, 0.75).encode(TEXTS)
    loaded = merged.load("cpu")
    assert loaded[1].pooling_mode == pooling
    np.testing.assert_allclose(loaded.encode(TEXTS), before, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(before, axis=1), 1, atol=1e-6)
    assert (merged.path / "model.safetensors").exists()
    assert (merged.path / "tokenizer.json").exists()


def test_dense_layers_prompts_and_length_are_kept(base, data, tmp_path):
    settings = ModelSettings(prompts=Prompts(query="where is the "), dimensions=8, max_length=7)
    contract = Model(base.path, settings)
    contract.load("cpu").save_pretrained(str(tmp_path / "cut"), create_model_card=False)
    tuned = moved(Model(tmp_path / "cut"), tmp_path / "tuned")
    merged = merge(Linear(base=0.5, tuned=0.5), tmp_path / "run", data, contract, tuned)
    loaded = merged.load("cpu")
    assert (loaded.prompts["query"], loaded.max_seq_length) == ("where is the ", 7)
    assert loaded.encode(TEXTS).shape == (4, 8)
    (key,) = (key for key in tensors(merged) if "Dense" in key)
    expected = (torch.eye(8, 32) + tensors(tuned)[key]) / 2
    torch.testing.assert_close(tensors(merged)[key], expected, atol=1e-6, rtol=0)


def test_the_mix_has_the_base_s_number_format(base, tuned, data, tmp_path):
    merged = merge(Linear(), tmp_path, data, Model(base.path, ModelSettings(dtype="float16")), tuned)
    mixed = tensors(merged)
    assert {tensor.dtype for tensor in mixed.values()} == {torch.float16}
    for key, tensor in mixed.items():
        expected = 0.25 * tensors(base)[key] + 0.75 * tensors(tuned)[key]
        torch.testing.assert_close(tensor.float(), expected, atol=2e-3, rtol=1e-3)


def test_any_number_of_models_can_be_mixed_in(base, tuned, data, tmp_path):
    other, plain = moved(base, tmp_path / "other", seed=2), base.path.with_name("tiny-plain")
    more = (Weighted(model=str(other.path), weight=0.3), Weighted(model=str(plain), weight=0.1))
    stage = Linear(base=0.2, tuned=0.4, models=more)
    merged = merge(stage, tmp_path / "run", data, base, tuned)
    assert list(stage.inputs()) == [other.path, plain]
    assert stage.resolve(Resolver(offline=True)) == stage
    given = [tensors(model) for model in (base, tuned, other, base)]
    for key, tensor in tensors(merged).items():
        expected = sum(share * one[key].double() for share, one in zip((0.2, 0.4, 0.3, 0.1), given, strict=True))
        torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=0)


def test_shares_that_do_not_sum_to_one_are_a_fault():
    assert not list(Linear(base=0.1, tuned=0.7, models=[{"model": "a/b", "weight": 0.2}]).faults())
    assert list(Linear(base=0.3).faults()) == [
        "the shares of base, tuned and 'models' must sum to 1, but 0.3 + 0.75 is 1.05"
    ]
    assert list(Linear(base=0, tuned=0.5, models=[{"model": "./gone", "weight": 0.5}]).faults()) == [
        "models: no such folder: ./gone"
    ]


def test_models_of_other_shapes_or_poolings_are_refused(base, tuned, data, tmp_path):
    small = tiny_model(tmp_path / "small", dimensions=16)
    cls = tiny_model(tmp_path / "cls", pooling="cls")
    with pytest.raises(UserError, match="embedding_dimension of Pooling is 32 in the base and 16 in the tuned model"):
        merge(Linear(), tmp_path / "1", data, base, small)
    with pytest.raises(UserError, match="pooling_mode of Pooling is 'mean' in the base and 'cls' in the tuned model"):
        merge(Linear(), tmp_path / "2", data, base, cls)
    plain = Weighted(model=str(tmp_path / "small-plain"), weight=0)
    with pytest.raises(UserError, match=r"'0\.\S*word_embeddings.weight' is 103 x 32 in the base and 103 x 16 in '/"):
        merge(Linear(models=[plain]), tmp_path / "3", data, base, tuned)


def test_other_differences_are_told(base, data, tmp_path):
    tuned = moved(base, tmp_path / "tuned")
    file = tuned.path / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts": {"query": "q: ", "document": ""}}))
    warnings = []
    merged = merge(Linear(), tmp_path / "run", data, base, tuned, on_warning=warnings.append)
    assert warnings == [
        "base and tuned model differ in their query prompt ('' and 'q: '); the mix has the tuned model's"
    ]
    assert merged.load("cpu").prompts["query"] == "q: "


def test_linear_keeps_the_contract(tmp_path):
    assert check_stage(Linear(), tmp_path) is not None


def test_search_takes_the_share_that_scores_best_on_dev(base, tuned, data, tmp_path):
    dev, notes, progress = InformationRetrieval(ndcg_at_k=(3,)), {}, []
    stage = Search(weights=(1, 0, 0.5), metric="ndcg@3")
    reports = {"on_note": notes.__setitem__, "on_progress": lambda *given: progress.append(given)}
    merged = merge(stage, tmp_path / "run", data, base, tuned, dev, **reports)
    found = json.loads((merged.path / "merge_search.json").read_text())
    curve = {row["tuned"]: row["ndcg@3"] for row in found["scores"]}
    assert list(curve) == [0, 0.5, 1]
    assert curve[0] == dev.score(base.load("cpu"), data, "dev")["ndcg@3"]
    assert curve[1] == dev.score(tuned.load("cpu"), data, "dev")["ndcg@3"]
    best = min(share for share in curve if curve[share] == max(curve.values()))
    assert notes == {"tuned": best, "ndcg@3 on dev": curve[best]}
    assert (found["tuned"], found["split"], found["metric"]) == (best, "dev", "ndcg@3")
    assert progress[-1] == ("share of the tuned model", 3, 3)
    same = merge(Linear(base=1 - best, tuned=best), tmp_path / "linear", data, base, tuned)
    assert all(torch.equal(tensor, tensors(same)[key]) for key, tensor in tensors(merged).items())


class Scripted(InformationRetrieval):
    """Scores mixes as it is told to, one after the other."""

    def score(self, model, data, split):
        SCORES["asked"] += 1
        return {"ndcg@10": SCORES["values"][SCORES["asked"] - 1]}


SCORES: dict[str, Any] = {}


def test_of_equal_scores_the_nearest_to_the_base_wins_and_what_was_scored_is_kept(base, tuned, data, tmp_path):
    SCORES.update(asked=0, values=[0.5, 0.7])
    stage = Search(weights=(0, 0.4, 0.8, 1))
    ctx = context(tmp_path / "run")
    with pytest.raises(IndexError):
        stage.run(ctx, data, base, tuned, Scripted())
    SCORES.update(asked=0, values=[0.7, 0.6])
    stage.run(ctx, data, base, tuned, Scripted())
    assert SCORES["asked"] == 2
    assert json.loads((ctx.out / "merge_search.json").read_text())["tuned"] == 0.4


def test_search_refuses_a_metric_that_is_not_measured_before_any_work(base, tuned, data, tmp_path, project):
    with pytest.raises(UserError, match="does not measure 'ndgc@10'; did you mean 'ndcg@10'"):
        merge(Search(metric="ndgc@10"), tmp_path / "1", data, Model(Path("none")), tuned, InformationRetrieval())
    with pytest.raises(UserError, match="chooses by an evaluator"):
        merge(Search(), tmp_path / "2", data, base, tuned)
    project.write("demo.yaml", RECIPE)
    project.write("model/config.json", "{}")
    refused = project.run("check", "demo.yaml")
    assert "merge.metric: the first evaluator does not measure 'ndcg@10'; did you mean 'ndcg@5'?" in refused.err


RECIPE = """
model: ./model
plugins: [fakes.py]
source: fake
loss: fake
trainer: {type: fake}
merge: search
evaluator: {type: information_retrieval, ndcg_at_k: [5]}
"""


def test_choosing_on_the_split_that_is_judged_by_is_warned_of(base, tuned, data, tmp_path):
    warnings = []
    dev = InformationRetrieval(split="dev")
    merge(Search(weights=(1,)), tmp_path, data, base, tuned, dev, on_warning=warnings.append)
    assert warnings == ["the mix is chosen on 'dev', the split that it is judged by: its score there flatters it"]
    assert Search(split="train").watched_split() == "train"


def test_search_can_choose_by_any_evaluator(base, tuned, data, tmp_path):
    pairs = SimilarityPairs(pairs=[{"texts": TEXTS[:2]}])
    merged = merge(Search(weights=(0, 1), metric="mean_similar"), tmp_path, data, base, tuned, pairs)
    assert merged.load("cpu").encode(TEXTS).shape == (4, 32)
