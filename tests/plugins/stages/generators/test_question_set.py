"""Which passages are asked about, and the set that comes out."""

from __future__ import annotations

from typing import Any

from embedrun.artifacts import CUT_FROM, Document, Judgement, Query, RetrievalSet
from embedrun.context import Context
from embedrun_plugins.stages.generators.question_set import AskedPassage, asked_about, publish, sample

TRAIN, TEST = Document.of("one passage", split="train"), Document.of("another", split="test")


def written(folder: Any, **given: Any) -> RetrievalSet:
    return RetrievalSet.write(folder, **{"documents": [TRAIN, TEST], "queries": [], "qrels": {}, **given})


def test_a_passage_belongs_to_the_split_that_its_source_names(tmp_path):
    documents = [TRAIN, TEST, Document.of("plain"), Document.of("told", asked="dev", split="train")]
    documents += [Document.of("none", asked="none"), Document.of("part", **{CUT_FROM: TRAIN.id}), Document.of(" ")]
    found = asked_about(written(tmp_path, documents=documents), None)
    assert [(passage.split, passage.document.text) for passage in found] == [
        ("train", "one passage"),
        ("test", "another"),
        ("train", "plain"),
        ("dev", "told"),
    ]


def test_a_test_that_has_questions_gets_no_more_unless_asked_for(tmp_path):
    query = Query.of("real?")
    data = written(tmp_path, queries=[query], qrels={"test": [Judgement(query.id, TEST.id)]})
    assert [passage.split for passage in asked_about(data, None)] == ["train"]
    assert [passage.split for passage in asked_about(data, ("train", "test"))] == ["train", "test"]


def test_a_copy_of_a_passage_that_a_test_asks_about_is_not_trained_on(tmp_path):
    query, copy = Query.of("real?"), Document("copy", "Another.")
    judged = {"test": [Judgement(query.id, TEST.id)]}
    data = written(tmp_path, documents=[TRAIN, TEST, copy], queries=[query], qrels=judged)
    assert [passage.document.id for passage in asked_about(data, None)] == [TRAIN.id]
    data = written(tmp_path / "unasked", documents=[TRAIN, TEST, copy])
    assert [passage.document.id for passage in asked_about(data, None)] == [TRAIN.id, TEST.id]


def test_a_larger_sample_holds_the_smaller_one():
    passages = [AskedPassage("train", Document.of(str(n))) for n in range(50)]
    few, more = sample(passages, 5, 1), sample(passages, 20, 1)
    assert len(few) == 5
    assert all(passage in more for passage in few)
    assert [passages.index(passage) for passage in more] == sorted(passages.index(passage) for passage in more)
    assert sample(passages, 5, 2) != few


def test_a_question_of_two_passages_is_one_query_with_both_relevant(tmp_path):
    other = Document.of("yet another", split="train")
    data = written(tmp_path / "in", documents=[TRAIN, other])
    asked = [(AskedPassage("train", TRAIN), ["Who pays?"]), (AskedPassage("train", other), ["who pays", "Why then?"])]
    made = publish(Context(out=tmp_path / "out", state=tmp_path), data, asked, generator="m")
    assert [query.text for query in made.queries.values()] == ["Who pays?", "Why then?"]
    assert made.relevant("train")[Query.of("Who pays?").id] == {TRAIN.id: 1.0, other.id: 1.0}
    assert made.queries[Query.of("Who pays?").id].metadata == {"generator": "m"}


def test_what_is_asked_in_the_test_is_not_trained_on_and_what_was_there_stays(tmp_path):
    real = Query("q1", "Real question?")
    notes: dict[str, Any] = {}
    data = written(tmp_path / "in", queries=[real], qrels={"test": [Judgement("q1", TEST.id, 2.0)]})
    asked = [
        (AskedPassage("train", TRAIN), ["real question", "Shared one?", "Own one?"]),
        (AskedPassage("test", TEST), ["Shared one?"]),
    ]
    made = publish(Context(out=tmp_path / "out", state=tmp_path, on_note=notes.__setitem__), data, asked)
    assert [made.queries[line.query_id].text for line in made.qrels("train")] == ["Own one?"]
    assert made.qrels("test")[0] == Judgement("q1", TEST.id, 2.0)
    assert notes["questions_skipped_as_held_out"] == 2
