"""Every loss trains a tiny model on the rows that it declares."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from embedrun.context import Context
from embedrun.errors import UserError
from embedrun.model_settings import ModelSettings
from embedrun.registry import Registry
from embedrun.stages import Loss
from embedrun_plugins.stages.docstrings import descriptions
from embedrun_plugins.stages.losses.ranking import InfoNce, MultipleNegativesRanking
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer

BY_TYPE = {name: entry.stage for name, entry in Registry().entries(Loss).items() if entry.owner.name == "embedrun"}
WRAPPED = {"inner": {"type": "multiple_negatives_ranking"}}
NEEDED = {
    "matryoshka": {"dims": [32, 8], **WRAPPED},
    "matryoshka_2d": {"dims": [32, 8], **WRAPPED},
    "adaptive_layer": WRAPPED,
    "global_orthogonal_regularization": WRAPPED,
}
PAIRS = sorted(name for name, loss in BY_TYPE.items() if name not in NEEDED and loss.rows == "pairs")


def make(config) -> Loss:
    """Validate a loss as a recipe does, inner losses included."""

    def find(kind, value):
        assert kind is Loss
        return BY_TYPE[value["type"]]

    return BY_TYPE[config["type"]].model_validate(config, context={"find_stage": find})


@pytest.fixture
def train(tmp_path, ranked, graded, tiny):
    def run(loss: Loss, **options):
        """Train and return the loss curve."""
        (tmp_path / "out").mkdir()
        ctx = Context(out=tmp_path / "out", state=tmp_path / "state", device="cpu")
        data = graded if loss.fed() in ("scored_pairs", "labelled_pairs") else ranked
        options = {"batch_size": 4, "epochs": 1, "logging_steps": 1, "save_strategy": "no", **options}
        trained = SentenceTransformersTrainer(**options).run(ctx, data, tiny, loss, None)
        history = json.loads((trained.path / "training_history.json").read_text("utf-8"))
        return [entry["loss"] for entry in history["log"]]

    return run


def guided(name, tiny):
    return {"guide": str(tiny.path)} if "gist" in name else {}


@pytest.mark.parametrize("name", sorted(BY_TYPE))
def test_every_loss_trains_on_its_rows(name, train, tiny):
    loss = make({"type": name, **NEEDED.get(name, {}), **guided(name, tiny)})
    assert not list(loss.faults())
    curve = train(loss)
    assert curve
    assert all(map(math.isfinite, curve))
    assert any(value != 0 for value in curve)


@pytest.mark.parametrize("name", PAIRS)
def test_every_loss_that_is_fed_pairs_can_be_wrapped_for_dimensions(name, train, tiny):
    loss = make({"type": "matryoshka", "dims": [32, 16, 8], "inner": {"type": name, **guided(name, tiny)}})
    assert not list(loss.faults())
    assert all(map(math.isfinite, train(loss, max_steps=1)))


@pytest.mark.parametrize("name", ["triplet", "cosent", "contrastive", "margin_mse", "batch_hard_triplet"])
def test_losses_of_other_rows_can_be_wrapped_too(name, train):
    loss = make({"type": "matryoshka_2d", "dims": [32, 8], "inner": {"type": name}})
    assert loss.fed() == BY_TYPE[name].rows
    assert all(map(math.isfinite, train(loss, max_steps=1)))


def test_a_penalty_can_be_learned_at_several_dimensions(train):
    inner = {"type": "global_orthogonal_regularization", "inner": "info_nce"}
    assert all(map(math.isfinite, train(make({"type": "matryoshka", "dims": [32, 8], "inner": inner}), max_steps=1)))


def test_a_step_lowers_the_loss(train):
    curve = train(MultipleNegativesRanking(), epochs=15, batch_size=8, learning_rate=1e-2, dropout=0)
    assert curve[-1] < curve[0] / 4


def test_a_temperature_is_the_inverse_of_a_scale(tiny):
    model = tiny.load("cpu")
    loss, same = InfoNce(temperature=0.02).build(model), MultipleNegativesRanking(scale=50).build(model)
    rows = [model.preprocess(["where is the lamp", "where is the river"]) for _ in range(2)]
    with torch.no_grad():
        assert loss.eval()(rows, None) == same.eval()(rows, None)


def test_fields_reach_the_loss(tiny):
    model = tiny.load("cpu")
    loss = make({"type": "triplet", "distance_metric": "cosine", "triplet_margin": 0.3}).build(model)
    assert loss.triplet_margin == 0.3
    assert loss.distance_metric(torch.ones(1, 2), torch.ones(1, 2)).item() == pytest.approx(0, abs=1e-6)
    dims = make({"type": "matryoshka", "dims": [8, 32], "weights": [1, 2], "inner": "cosent"}).build(model)
    assert (dims.matryoshka_dims, dims.matryoshka_weights) == ((32, 8), (2.0, 1.0))


def test_a_guide_is_not_trained(tiny):
    loss = make({"type": "gist_embed", "guide": str(tiny.path)}).build(tiny.load("cpu"))
    assert not any(parameter.requires_grad for parameter in loss.guide.parameters())
    assert not loss.guide.training


def test_a_guide_that_does_not_exist_is_refused(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"guide: '.*empty' cannot be loaded"):
        make({"type": "gist_embed", "guide": str(tmp_path / "empty")}).build(tiny.load("cpu"))
    assert list(make({"type": "gist_embed", "guide": "./nowhere"}).faults()) == ["guide: no such folder: ./nowhere"]


def test_a_guide_in_a_folder_is_part_of_the_key_by_its_content(tiny):
    guide = make({"type": "gist_embed", "guide": str(tiny.path)})
    assert list(guide.inputs()) == [tiny.path]
    wrapped = make({"type": "matryoshka", "dims": [8], "inner": guide.model_dump()})
    assert list(wrapped.inputs()) == [tiny.path]


def test_a_guide_is_sought_beside_the_recipe(tiny):
    context = {"folder": tiny.path.parent}
    loss = BY_TYPE["gist_embed"].model_validate({"guide": tiny.path.name}, context=context)
    assert loss.guide == str(tiny.path.resolve())
    assert BY_TYPE["gist_embed"].model_validate({"guide": "BAAI/bge-m3"}, context=context).guide == "BAAI/bge-m3"


def test_more_dimensions_than_the_model_has_are_refused(tiny):
    loss = make({"type": "matryoshka", "dims": [64, 32], **WRAPPED})
    with pytest.raises(UserError, match=r"loss\.dims: 64 is more than the model's 32 dimensions"):
        loss.build(tiny.load("cpu"))


def test_dimensions_kept_by_the_contract_are_the_model_s(tiny):
    cut = replace(tiny, settings=ModelSettings(dimensions=16)).load("cpu")
    with pytest.raises(UserError, match="16 dimensions"):
        make({"type": "matryoshka", "dims": [32, 8], **WRAPPED}).build(cut)


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"type": "matryoshka", "dims": [8, 8], **WRAPPED}, "dims: one is given twice"),
        ({"type": "matryoshka", "dims": [8, 0], **WRAPPED}, "dims: must be at least 1"),
        ({"type": "matryoshka", "dims": [8], "weights": [1, 2], **WRAPPED}, "weights: 2 given for 1 dims"),
        ({"type": "matryoshka", "dims": [8], "weights": [-1], **WRAPPED}, "weights: must not be negative"),
        ({"type": "matryoshka", "dims": [8], "n_dims_per_step": 0, **WRAPPED}, "n_dims_per_step: 0"),
        ({"type": "matryoshka", "dims": [8], "inner": "softmax"}, "'softmax' needs vectors of one length"),
        ({"type": "matryoshka", "dims": [8], "inner": {"type": "adaptive_layer", **WRAPPED}}, "matryoshka_2d"),
        ({"type": "adaptive_layer", "inner": "cached_multiple_negatives_ranking"}, "caches gradients"),
        ({"type": "adaptive_layer", "inner": "mega_batch_margin"}, "caches gradients"),
        ({"type": "adaptive_layer", "n_layers_per_step": 0, **WRAPPED}, "n_layers_per_step: 0"),
        ({"type": "matryoshka_2d", "dims": [8], "inner": {"type": "cached_gist_embed", "guide": "a/b"}}, "caches"),
        ({"type": "global_orthogonal_regularization", "inner": "softmax"}, "does not share its vectors"),
        ({"type": "global_orthogonal_regularization", "mean_weight": 0, "second_moment_weight": 0, **WRAPPED}, "both"),
        ({"type": "multiple_negatives_ranking", "directions": ["doc_to_query"]}, "must contain 'query_to_doc'"),
        ({"type": "multiple_negatives_ranking", "hardness_mode": "hard_negatives"}, "hardness_strength is 0"),
        ({"type": "multiple_negatives_ranking", "hardness_strength": 5}, "without hardness_mode"),
        (
            {
                "type": "multiple_negatives_ranking",
                "directions": ["query_to_doc", "doc_to_doc"],
                "partition_mode": "per_direction",
            },
            "per_direction does not work with 'doc_to_doc'",
        ),
        ({"type": "mega_batch_margin", "positive_margin": 0.2}, "must be below positive_margin"),
        ({"type": "softmax", "concatenation_sent_rep": False, "concatenation_sent_difference": False}, "sees nothing"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_loaded(config, fault):
    assert any(fault in found for found in make(config).faults()), list(make(config).faults())


def test_an_uncached_margin_works_with_layers():
    inner = {"type": "mega_batch_margin", "use_mini_batched_version": False}
    assert not list(make({"type": "adaptive_layer", "inner": inner}).faults())


def test_every_field_is_documented():
    for loss in BY_TYPE.values():
        assert loss.model_fields.keys() - {"type"} <= descriptions(loss).keys(), loss


def test_the_registry_narrows_an_inner_loss():
    context = Registry().validation_context()
    installed = Registry().entries(Loss)
    if "matryoshka" not in installed:
        pytest.skip("the losses are not entered yet")
    loss = installed["matryoshka"].stage.model_validate({"type": "matryoshka", "dims": [8], **WRAPPED}, context=context)
    assert isinstance(loss.inner, MultipleNegativesRanking)
