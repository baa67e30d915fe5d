"""The miner `bm25`."""

from __future__ import annotations

import bm25s
import pytest

from embedrun import DataError, Document, Judgement, Query
from embedrun.testing import check_stage
from embedrun_plugins.stages.miners.bm25 import Bm25


def test_it_keeps_the_contract(tmp_path, model, make_set):
    mined = check_stage(Bm25(range=(0, 10), per_query=3), tmp_path / "check", data=make_set(), model=model)
    assert mined.negatives()


def test_candidates_are_those_of_bm25s(model, make_set, make_context):
    data = make_set()
    stage = Bm25(range=(1, 12), per_query=11, sampling="top", near_equal=None)
    mined = stage.run(make_context(), data, model)
    documents = list(data.documents.values())
    index = bm25s.BM25(method="lucene")
    index.index(bm25s.tokenize([d.full_text for d in documents], show_progress=False), show_progress=False)
    relevant = data.relevant("train")
    for query, answers in relevant.items():
        asked = bm25s.tokenize(data.queries[query].text, show_progress=False)
        _, scores = index.retrieve(asked, k=12, show_progress=False)
        found = [judgement for judgement in mined.negatives() if judgement.query_id == query]
        assert answers.keys().isdisjoint(judgement.document_id for judgement in found)
        wanted = [round(float(score), 5) for score in scores[0][1:]]
        assert all(round(judgement.score, 5) in wanted for judgement in found)
        assert len(found) in (10, 11)


def test_a_passage_without_a_shared_word_is_no_candidate(model, make_set, make_context, corpus):
    query = Query.of("what is violin music?")
    data = make_set(queries=[query], qrels={"train": [Judgement(query.id, corpus[0].id)]})
    found = Bm25(range=(0, 256), per_query=256, near_equal=None).run(make_context(), data, model).negatives()
    assert {j.document_id for j in found} == {d.id for d in corpus if "violin" in d.text}


def test_equal_scores_come_in_the_order_of_the_corpus(model, make_set, make_context):
    documents = [
        Document(f"d{n}", f"The lamp of {word}.") for n, word in enumerate(["river", "stone", "cloud", "copper"])
    ]
    query = Query.of("lamp")
    data = make_set(documents=documents, queries=[query], qrels={"train": [Judgement(query.id, "d1")]})
    found = Bm25(range=(0, 3), per_query=3, sampling="top", near_equal=None).run(make_context(), data, model)
    assert [judgement.document_id for judgement in found.negatives()] == ["d0", "d2"]


def test_words_and_stop_words_can_be_chosen(model, make_set, make_context):
    documents = [
        Document("de", "Die Lampe und der Fluss"),
        Document("also", "und der Stein"),
        Document("zh", "河流很长"),
    ]
    asked = [Query.of("Lampe und Stein"), Query.of("河 在哪里")]
    pairs = [Judgement(asked[0].id, "de"), Judgement(asked[1].id, "de")]
    data = make_set(documents=documents, queries=asked, qrels={"train": pairs})
    common = {"range": (0, 3), "per_query": 3, "near_equal": None}
    german = Bm25(**common, stop_words="german").run(make_context("de"), data, model).negatives()
    assert [(j.query_id, j.document_id) for j in german] == [(asked[0].id, "also")]
    letters = Bm25(**common, stop_words=None, words=r"(?u)\w").run(make_context("zh"), data, model).negatives()
    assert (asked[1].id, "zh") in {(j.query_id, j.document_id) for j in letters}


def test_passages_without_words_are_an_error(model, make_set, make_context):
    data = make_set(2, documents=[Document("a", "a b"), Document("b", "1 2")])
    with pytest.raises(DataError, match="no passage holds a word"):
        Bm25().run(make_context(), data, model)


def test_faults_name_a_broken_expression():
    assert "not a regular expression" in next(iter(Bm25(words="(").faults()))
    assert "captures 2 groups" in next(iter(Bm25(words=r"(a|b)(c)").faults()))
    assert not list(Bm25().faults())
