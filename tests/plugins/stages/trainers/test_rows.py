"""Rows are made in the loss's order from what the set holds."""

from __future__ import annotations

import pytest

from embedrun.artifacts import Document, Judgement, Query, RetrievalSet
from embedrun.errors import DataError, UserError
from embedrun_plugins.stages.losses.distillation import DistillKlDiv
from embedrun_plugins.stages.losses.gist import GistEmbed
from embedrun_plugins.stages.losses.matryoshka import Matryoshka
from embedrun_plugins.stages.losses.ranking import MegaBatchMargin, MultipleNegativesRanking
from embedrun_plugins.stages.losses.scored_pairs import Contrastive, Cosent, CosineSimilarity
from embedrun_plugins.stages.losses.triplets import BatchAllTriplet, Triplet
from embedrun_plugins.stages.trainers.rows import make
from embedrun_plugins.stages.trainers.training_rows import TrainingData

QUERIES = [Query("q1", "one?"), Query("q2", "two?"), Query("q3", "three?")]
DOCUMENTS = [Document(f"d{n}", f"text {n}", title="T" if n == 1 else "") for n in range(1, 8)]
PAIRS = [Judgement("q1", "d1"), Judgement("q2", "d2"), Judgement("q3", "d3")]
NEGATIVES = [Judgement("q1", "d4", 0.4), Judgement("q1", "d5", 0.3), Judgement("q2", "d6", 0.2)]


@pytest.fixture
def given(tmp_path):
    def write(judgements=PAIRS, negatives=NEGATIVES, queries=QUERIES):
        qrels = {"train": judgements, "dev": [Judgement("q1", "d1"), Judgement("q2", "d2")]}
        return RetrievalSet.write(
            tmp_path / "data", documents=DOCUMENTS, queries=queries, qrels=qrels, negatives=negatives
        )

    return write


def test_columns_come_in_the_order_that_losses_read(given):
    data = given()
    orders = {
        MultipleNegativesRanking(): ["anchor", "positive", "negative_1", "negative_2"],
        Triplet(): ["anchor", "positive", "negative"],
        Contrastive(): ["sentence1", "sentence2", "label"],
        BatchAllTriplet(): ["sentence", "label"],
        DistillKlDiv(): ["anchor", "positive", "negative_1", "label"],
    }
    for loss, order in orders.items():
        assert list(make(TrainingData(data, loss)).columns) == order
    table = make(TrainingData(data, MultipleNegativesRanking()))
    assert table.columns["anchor"] == ["one?", "two?", "three?"]
    assert table.columns["positive"] == ["T text 1", "text 2", "text 3"]
    assert table.roles == {"anchor": "query", **dict.fromkeys(["positive", "negative_1", "negative_2"], "document")}


def test_queries_with_fewer_negatives_are_filled_up_at_random_and_counted(given):
    data = given()
    table = make(TrainingData(data, MultipleNegativesRanking(), seed=1))
    first, second = table.columns["negative_1"], table.columns["negative_2"]
    assert (first[0], second[0], first[1]) == ("text 4", "text 5", "text 6")
    assert table.notes == {"negatives drawn at random": 3}
    assert len({first[2], second[2], "text 3"}) == 3
    assert make(TrainingData(data, MultipleNegativesRanking(), seed=1)).columns == table.columns


def test_what_is_drawn_does_not_depend_on_the_order_of_rows(given, tmp_path):
    drawn = make(TrainingData(given(), MultipleNegativesRanking())).columns
    turned = RetrievalSet.write(
        tmp_path / "turned",
        documents=DOCUMENTS,
        queries=QUERIES,
        qrels={"train": [PAIRS[2], PAIRS[0], PAIRS[1]]},
        negatives=NEGATIVES,
    )
    again = make(TrainingData(turned, MultipleNegativesRanking())).columns
    assert sorted(zip(*again.values(), strict=True)) == sorted(zip(*drawn.values(), strict=True))


def test_a_relevant_document_is_never_its_query_s_negative(given):
    negatives = [*NEGATIVES, Judgement("q3", "d3", 0.9)]
    table = make(TrainingData(given(negatives=negatives), MultipleNegativesRanking()))
    rows = zip(*table.columns.values(), strict=True)
    assert all(len(set(row)) == len(row) for row in rows)


def test_negatives_are_limited_by_the_user_and_by_the_loss(given, tmp_path):
    data = given()
    assert make(TrainingData(data, MultipleNegativesRanking(), negatives_per_query=1)).negatives == 1
    assert make(TrainingData(data, MultipleNegativesRanking(), negatives_per_query=0)).negatives == 0
    assert make(TrainingData(data, MegaBatchMargin())).negatives == 0
    gist = GistEmbed(guide=str(tmp_path))
    assert make(TrainingData(data, gist)).negatives == 1
    assert make(TrainingData(data, Matryoshka(dims=(8,), inner=gist))).negatives == 1


def test_triplets_leave_out_queries_without_negatives(given):
    table = make(TrainingData(given(), Triplet()))
    assert table.columns["negative"] == ["text 4", "text 5", "text 6"]
    assert table.columns["anchor"] == ["one?", "one?", "two?"]
    assert table.notes == {"pairs left out, without negatives": 1}


def test_a_teacher_s_scores_stand_beside_their_documents(given):
    table = make(
        TrainingData(given(judgements=[Judgement("q1", "d1", 0.9), Judgement("q2", "d2", 0.8)]), DistillKlDiv())
    )
    assert table.columns["label"] == [[0.9, 0.4], [0.8, 0.2]]


def test_judged_pairs_keep_their_scores(given):
    judgements = [Judgement("q1", "d1", 1), Judgement("q1", "d2", 0.25), Judgement("q2", "d2", 0)]
    assert make(TrainingData(given(judgements=judgements), Cosent())).columns["score"] == [1.0, 0.25, 0.0]


def test_mined_negatives_are_pairs_that_do_not_belong_together(given):
    table = make(TrainingData(given(), Contrastive()))
    assert table.columns["label"] == [1, 1, 1, 0, 0, 0]


def test_texts_that_judgements_join_share_a_label(given):
    judgements = [*PAIRS, Judgement("q2", "d1")]
    table = make(TrainingData(given(judgements=judgements), BatchAllTriplet(), prompts={"query": "Q: "}))
    labels = dict(zip(table.columns["sentence"], table.columns["label"], strict=True))
    assert labels["Q: one?"] == labels["Q: two?"] == labels["T text 1"] == labels["text 2"]
    assert labels["Q: three?"] == labels["text 3"] != labels["text 2"]


def test_other_splits_have_no_negatives(given):
    assert make(TrainingData(given(), MultipleNegativesRanking(), split="dev")).negatives == 0


@pytest.mark.parametrize(
    ("loss", "judgements", "negatives", "message"),
    [
        (MultipleNegativesRanking(), [], [], "it is empty"),
        (MultipleNegativesRanking(), [Judgement("q1", "d1", 0)], [], "no query has a relevant document"),
        (Triplet(), PAIRS, [], "no query has negatives; add a miner"),
        (DistillKlDiv(), PAIRS, [], "no query has negatives"),
        (Cosent(), PAIRS, [], "every pair has the score 1"),
        (Contrastive(), PAIRS, [], "every pair has the label 1"),
        (BatchAllTriplet(), PAIRS[:1], [], "all its queries and documents belong together"),
        (BatchAllTriplet(), [Judgement("q1", "d1", 0)], [], "no query has a relevant document"),
    ],
)
def test_a_split_that_teaches_nothing_is_refused(given, loss, judgements, negatives, message):
    with pytest.raises(UserError, match=message):
        make(TrainingData(given(judgements=judgements, negatives=negatives), loss))


@pytest.mark.parametrize(
    ("loss", "judgement", "message"),
    [
        (CosineSimilarity(), Judgement("q1", "d2", 4.6), "score 4.6; 'cosine_similarity' needs scores from -1 to 1"),
        (Contrastive(), Judgement("q1", "d2", 0.5), "score 0.5; 'contrastive' needs 0 or 1"),
        (Cosent(), Judgement("q9", "d2", 0.5), "names query 'q9'"),
        (MultipleNegativesRanking(), Judgement("q1", "d9"), "names document 'd9'"),
    ],
)
def test_a_judgement_that_does_not_fit_is_named(given, loss, judgement, message):
    with pytest.raises(DataError, match=message):
        make(TrainingData(given(judgements=[*PAIRS, judgement]), loss))


def test_a_wrapped_loss_s_range_of_scores_counts(given):
    loss = Matryoshka(dims=(8,), inner=CosineSimilarity())
    with pytest.raises(DataError, match="needs scores from -1 to 1"):
        make(TrainingData(given(judgements=[*PAIRS, Judgement("q1", "d2", 5)]), loss))
