"""The hit rate, and models that information_retrieval scores beside the run's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedrun.context import Context
from embedrun.testing import check_stage, small_set, tiny_model
from embedrun_plugins.stages.evaluators.hit_rate import HitRate
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.stages.evaluators.similarity_pairs import SimilarityPairs


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_set(tmp_path_factory.mktemp("data") / "small")


def context(folder, **reports):
    (folder / "out").mkdir(parents=True)
    return Context(out=folder / "out", state=folder / "state", device="cpu", **reports)


def llama_index_own(ranked, relevant, k):
    """As llama_index's HitRate with one expected document: is it among the ids retrieved?"""
    return float(any(document in relevant for document in ranked[:k]))


def test_it_is_whether_the_expected_document_is_among_the_first(data, model, tmp_path):
    scores = HitRate(at_k=(5, 1, 3), split="train").run(context(tmp_path), data, model)
    assert list(scores.metrics) == ["hit_rate@1", "hit_rate@3", "hit_rate@5"]
    ranked = {}
    for line in (tmp_path / "out" / "run.trec").read_text().splitlines():
        ranked.setdefault(line.split()[0], []).append(line.split()[2])
    relevant = data.relevant("train")
    for k in (1, 3, 5):
        expected = {query: llama_index_own(ranked[query], relevant[query], k) for query in relevant}
        assert scores.per_query[f"hit_rate@{k}"] == expected
        assert scores.metrics[f"hit_rate@{k}"] == pytest.approx(np.mean(list(expected.values())))


def test_it_is_the_accuracy_that_information_retrieval_measures(data, model):
    loaded = model.load("cpu")
    found = HitRate().score(loaded, data, "test")
    accuracy = InformationRetrieval(accuracy_at_k=(1, 5, 10)).score(loaded, data, "test")
    assert found == {name.replace("accuracy", "hit_rate"): accuracy[name] for name in accuracy if "accuracy" in name}


def test_it_keeps_the_contract(data, model, tmp_path):
    scores = check_stage(HitRate(), tmp_path, data=data, model=model)
    assert set(scores.metrics) == HitRate().metrics() == {"hit_rate@1", "hit_rate@5", "hit_rate@10"}
    assert list(HitRate(at_k=()).faults()) == ["measures nothing: all its lists of cut-offs are empty"]


class Random:
    """An Encoder of eight random dimensions."""

    device = torch.device("cpu")
    similarity_fn_name = "cosine"

    def encode_query(self, inputs, *, batch_size, show_progress_bar):
        return np.random.default_rng(0).normal(size=(len(inputs), 8)).astype(np.float32)

    encode_document = encode_query


def test_another_model_is_not_scored_at_more_dimensions_than_it_has(data, tmp_path):
    warnings = []
    stage = InformationRetrieval(dimensions=(4, 16, 32))
    scores = stage.evaluate(context(tmp_path, on_warning=warnings.append), data, Random())
    assert {name.split("_")[1] for name in scores.metrics if name.startswith("dim_")} == {"4"}
    assert warnings == ["its vectors have 8 dimensions, so it is not scored at 16, 32"]


def test_all_that_only_encode_score_another_model(data, tmp_path):
    pairs = SimilarityPairs(pairs=[{"texts": ("a", "b")}])
    assert set(pairs.evaluate(context(tmp_path), data, Random()).metrics) == {"pair_1", "mean_similar"}
    assert all(stage.only_encodes for stage in (HitRate, InformationRetrieval, SimilarityPairs))
