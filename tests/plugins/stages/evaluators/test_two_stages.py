"""What a reranker makes of a model's rankings: every metric equals ir_measures and sentence-transformers' evaluator."""

from __future__ import annotations

import json

import ir_measures
import numpy as np
import pytest
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

from embedrun.artifacts import Scores
from embedrun.context import Context
from embedrun_plugins.models import cross_encoders
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.stages.evaluators.paired_differences import compare
from embedrun_plugins.stages.rerankers.cross_encoder import CrossEncoderReranker

MEASURES = {"ndcg": "nDCG", "mrr": "RR", "recall": "R", "precision": "P", "accuracy": "Success"}
DEPTH = 10


@pytest.fixture(scope="module")
def encoder(tiny):
    return tiny.path.with_name(f"{tiny.path.name}-plain")


@pytest.fixture(scope="module")
def scored(tmp_path_factory, tiny, encoder, ranked):
    """The scores of a model alone, and of the same with an untrained reranker; notes of the second."""
    folder = tmp_path_factory.mktemp("scored")
    stage = InformationRetrieval(split="train")
    (folder / "alone").mkdir()
    alone = stage.run(Context(folder / "alone", folder / "state", device="cpu"), ranked, tiny)
    notes: dict[str, object] = {}
    (folder / "pair").mkdir()
    ctx = Context(folder / "pair", folder / "state", device="cpu", offline=True, on_note=notes.__setitem__)
    pair = stage.rerank(ctx, ranked, alone, CrossEncoderReranker(model=str(encoder), depth=DEPTH), None)
    return alone, pair, notes


def test_every_metric_equals_ir_measures_on_the_run_file(scored):
    _, pair, _ = scored
    qrels = list(ir_measures.read_trec_qrels(str(pair.path / "qrels.trec")))
    run = list(ir_measures.read_trec_run(str(pair.path / "run.trec")))
    checked = 0
    for name, value in pair.metrics.items():
        measure, _, k = name.partition("@")
        if measure in MEASURES:
            parsed = ir_measures.parse_measure(f"{MEASURES[measure]}@{k}")
            assert ir_measures.calc_aggregate([parsed], qrels, run)[parsed] == pytest.approx(value, abs=1e-6)
            checked += 1
    assert checked >= 10


def test_metrics_equal_sentence_transformers_evaluator_on_the_same_candidates(scored, ranked, encoder):
    alone, pair, _ = scored
    model = cross_encoders.load(cross_encoders.Model(encoder), "cpu", seed=42)
    texts = {document.id: document.full_text for document in ranked.documents.values()}
    candidates: dict[str, list[str]] = {}
    for line in (alone.path / "run.trec").read_text().splitlines():
        query, _, document, *_ = line.split(" ")
        candidates.setdefault(query, []).append(texts[document])
    samples = [
        {
            "query": ranked.queries[query].text,
            "positive": [texts[document] for document in relevant],
            "documents": candidates[query][:DEPTH],
        }
        for query, relevant in ranked.relevant("train").items()
    ]
    evaluator = CrossEncoderRerankingEvaluator(samples, at_k=10, always_rerank_positives=False, write_csv=False)
    theirs = evaluator(model)
    for name in ("ndcg@10", "mrr@10"):
        assert theirs[name] == pytest.approx(pair.metrics[name], abs=1e-6)
        assert theirs[f"base_{name}"] == pytest.approx(alone.metrics[name], abs=1e-6)


def test_the_curve_over_depth_ends_at_the_scores_and_tells_what_a_query_waits_for(scored):
    alone, pair, notes = scored
    curve = json.loads((pair.path / "depths.json").read_text())
    assert [point["depth"] for point in curve["points"]] == [5, 10]
    assert curve["points"][-1]["metrics"] == pair.metrics
    assert curve["points"][-1]["ceiling"] == pytest.approx(alone.metrics["recall@10"])
    assert notes["depth"] == DEPTH
    assert set(notes["milliseconds_per_query"]) == {"5", "10"}
    assert "milliseconds" not in (pair.path / "depths.json").read_text(), "a time would make two runs differ"


def test_what_is_below_the_depth_stays_as_it_was(scored):
    alone, pair, _ = scored
    rankings = []
    for scores in (alone, pair):
        by_query: dict[str, list[str]] = {}
        for line in (scores.path / "run.trec").read_text().splitlines():
            by_query.setdefault(line.split(" ")[0], []).append(line.split(" ")[2])
        rankings.append(by_query)
    for query, before in rankings[0].items():
        after = rankings[1][query]
        assert set(after[:DEPTH]) == set(before[:DEPTH])
        assert after[DEPTH:] == before[DEPTH:]
    assert any(rankings[1][query][:DEPTH] != before[:DEPTH] for query, before in rankings[0].items())


def test_a_pair_is_compared_with_the_model_alone_and_with_the_untuned_reranker(scored):
    alone, pair, _ = scored
    scores = {"base": alone, "base+base_reranker": pair, "base+tuned_reranker": Scores(pair.path)}
    rows = {(row["role"], row["against"]): row for row in compare(scores, "ndcg@10") if row["metric"] == "ndcg@10"}
    assert set(rows) == {
        ("base+base_reranker", "base"),
        ("base+tuned_reranker", "base"),
        ("base+tuned_reranker", "base+base_reranker"),
    }
    row = rows["base+base_reranker", "base"]
    assert row["difference"] == pytest.approx(pair.metrics["ndcg@10"] - alone.metrics["ndcg@10"])
    assert np.isfinite([row["low"], row["high"]]).all()
