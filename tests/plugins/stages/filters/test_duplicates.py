import pytest

from embedrun.artifacts import CUT_FROM, Document, Judgement, Query, RetrievalSet
from embedrun.testing import check_stage, tiny_model
from embedrun_plugins.stages.filters.duplicates import Duplicates

LONG = "The council of the town keeps its old records in the tower by the harbour, where nobody has read them since the"
NEAR = (f"{LONG} last whaler left the bay.", f"{LONG} last whaler left the bay!", f"{LONG} last whalers left the bay.")


@pytest.mark.parametrize("method", ["equal", "minhash", "embedding"])
def test_it_keeps_the_contract(method, tmp_path):
    kept = check_stage(Duplicates(method=method, **({"threshold": 0.9999} if method == "embedding" else {})), tmp_path)
    assert len(kept.documents) == 16


def test_whoever_is_relevant_for_one_twin_is_relevant_for_all(made, sift):
    data = made(
        train=[("Where are the records?", NEAR[0]), ("where are the records", "In the cellar."), ("Salt?", NEAR[1])],
        test=[("Where are the records?!", NEAR[2])],
        negatives={"Where are the records?": NEAR[1], "where are the records": "A lamp.", "Salt?": "A pier."},
    )
    found = sift(Duplicates(), data)
    first = "Where are the records?"
    assert found.pairs() == {(first, NEAR[0]), (first, "In the cellar."), ("Salt?", NEAR[0])}
    assert found.pairs("test") == {("Where are the records?!", NEAR[0])}
    assert found.negatives() == {(first, "A lamp."), ("Salt?", "A pier.")}
    assert found.notes["documents_merged"] == 2
    assert found.notes["documents_with_a_twin"] == 3
    assert found.notes["train_queries_merged"] == 1
    assert ["Where are the records?", "where are the records"] in found.notes["examples"]


def test_judged_twins_all_stay_and_all_count(made, sift):
    data = made(train=[("Salt?", NEAR[0])], more=NEAR[1:], negatives={"Salt?": NEAR[2]})
    found = sift(Duplicates(documents="judge"), data)
    assert found.pairs() == {("Salt?", text) for text in NEAR}
    assert not found.negatives()
    assert len(found.data.documents) == 3
    assert sift(Duplicates(documents="keep"), data).pairs() == {("Salt?", NEAR[0])}


def test_equal_means_equal_and_the_threshold_counts(made, sift):
    data = made(train=[("Salt?", NEAR[0])], more=NEAR[1:])
    assert len(sift(Duplicates(method="equal"), data).data.documents) == 2
    assert len(sift(Duplicates(threshold=0.995), data).data.documents) == 2
    assert len(sift(Duplicates(threshold=0.9), data).data.documents) == 1


def test_passages_that_different_splits_search_stay_apart(made, sift):
    lyft, uber = (Document(name, NEAR[0], "", {"split": name}) for name in ("train", "test"))
    found = sift(Duplicates(), made(train=[("Salt?", lyft)], test=[("Herring?", uber)]))
    assert set(found.data.documents) == {"train", "test"}


def test_parts_made_for_training_are_not_merged_and_follow_their_passage(made, sift):
    whole, twin = Document("1", NEAR[0]), Document("2", NEAR[1])
    part = Document("3", NEAR[1], "", {CUT_FROM: "2"})
    found = sift(Duplicates(), made(train=[("Salt?", part)], more=(whole, twin)))
    assert set(found.data.documents) == {"1", "3"}
    assert found.data.documents["3"].metadata == {CUT_FROM: "1"}
    assert found.data.qrels("train") == [Judgement(Query.of("Salt?").id, "3")]


def test_the_highest_grade_of_twins_counts(tmp_path, sift):
    documents, query = [Document.of(text) for text in NEAR[:2]], Query.of("Salt?")
    grades = [Judgement(query.id, document.id, grade) for document, grade in zip(documents, (0.0, 2.0), strict=True)]
    data = RetrievalSet.write(tmp_path / "graded", documents=documents, queries=[query], qrels={"train": grades})
    assert sift(Duplicates(), data).data.qrels("train") == [Judgement(query.id, documents[0].id, 2.0)]


def test_vectors_find_what_letters_do_not(made, sift, minilm):
    from embedrun.artifacts import Model

    texts = ("How do I get my money back?", "How can I get my money back?", "How do I get my money back within 7 days?")
    data = made(train=[(text, f"Answer {n}.") for n, text in enumerate(texts)])
    stage = Duplicates(method="embedding", threshold=0.8, documents="keep")
    found = sift(stage, data, Model(minilm))
    assert {query.text for query in found.data.queries.values()} == {texts[0], texts[2]}
    free = sift(
        Duplicates(method="embedding", threshold=0.8, documents="keep", same_numbers=False), data, Model(minilm)
    )
    assert {query.text for query in free.data.queries.values()} == {texts[0]}
    assert len(sift(Duplicates(documents="keep"), data).data.queries) == 3


def test_settings_that_do_nothing_are_faults():
    assert "no effect" in next(iter(Duplicates(method="equal", threshold=0.5).faults()))
    assert "does nothing" in next(iter(Duplicates(queries=False, documents="keep").faults()))
    assert not list(Duplicates().faults())


def test_it_needs_a_model_for_vectors_only():
    assert [Duplicates(method=name).uses_model() for name in ("equal", "minhash", "embedding")] == [False, False, True]


def test_tiles_join_as_one_matrix_does(monkeypatch, tmp_path):
    import numpy as np
    import torch

    from embedrun.context import Context
    from embedrun_plugins.stages.filters import embedding_clusters

    model = tiny_model(tmp_path / "model").load("cpu")
    texts = [
        f"the {word} is kept in the {other}" for word in ("lamp", "river", "stone") for other in "abcdefghijklmnop"
    ]
    find = embedding_clusters.EmbeddingClusters(
        Context(tmp_path, tmp_path), model, 0.995, same_numbers=False, batch_size=8
    )
    whole = find(texts, "document")
    monkeypatch.setattr(embedding_clusters, "_ROWS", 5)
    monkeypatch.setattr(embedding_clusters, "_COLUMNS", 7)
    assert np.array_equal(find(texts, "document"), whole)
    vectors = torch.nn.functional.normalize(torch.from_numpy(model.encode_document(texts)), dim=1)
    reach = (vectors @ vectors.T >= 0.995).numpy().astype(np.int64)
    for _ in range(6):
        reach = (reach @ reach > 0).astype(np.int64)
    assert np.array_equal(reach.argmax(axis=1), whole)
    assert 1 < len(set(whole.tolist())) < len(texts)
