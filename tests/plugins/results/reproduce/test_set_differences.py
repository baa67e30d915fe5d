"""The rows of two sets that differ are named, by texts where ids come from texts."""

from __future__ import annotations

import pytest

from embedrun.artifacts import Document, Judgement, Query, RetrievalSet
from embedrun_plugins.results.reproduce import set_differences

LONG = "All staff read the handbook before they travel, and again when they return. " * 4


@pytest.fixture
def changes(tmp_path):
    """Return what differs between two sets of (question, answer, score) rows; ids come from the texts."""

    def compare(then, now, own_ids=False, negatives=((), ())):
        for name, found, wrong in (("then", then, negatives[0]), ("now", now, negatives[1])):
            queries = [Query(str(n), row[0]) if own_ids else Query.of(row[0]) for n, row in enumerate(found)]
            documents = [Document.of(row[1]) for row in found]
            pairs = [Judgement(q.id, d.id, row[2]) for q, d, row in zip(queries, documents, found, strict=True)]
            mined = [Judgement(queries[q].id, documents[d].id, 1.0) for q, d in wrong]
            RetrievalSet.write(
                tmp_path / name, documents=documents, queries=queries, qrels={"train": pairs}, negatives=mined
            )
        return set_differences.changes(tmp_path / "then", tmp_path / "now")

    return compare


ROWS = [(f"where is the {word}?", f"The {word} is here.", 1.0) for word in ("lamp", "cup", "hat", "key")]


def changed(place, row):
    return [*ROWS[:place], row, *ROWS[place + 1 :]]


def without_ids(lines):
    return [" ".join(word for word in line.split() if not word.endswith(":")) for line in lines]


def test_equal_sets_do_not_differ(changes):
    assert changes(ROWS, ROWS) == []


@pytest.mark.parametrize("own_ids", [False, True])
def test_a_changed_question_is_named_with_both_texts(changes, own_ids):
    told = changes(ROWS, changed(2, ("where was the hat?", "The hat is here.", 1.0)), own_ids)
    assert without_ids(told) == ["query 'where is the hat?' is 'where was the hat?' now"]


def test_a_changed_answer_is_shown_where_it_changed(changes):
    rows_with = [changed(1, ("where is the cup?", f"{LONG}{word} {LONG}", 1.0)) for word in ("Blue", "Green")]
    (told,) = without_ids(changes(*rows_with))
    assert "Blue All" in told
    assert "Green All" in told
    assert len(told) < 250


def test_rows_that_went_and_came_are_named(changes):
    assert without_ids(changes(ROWS, ROWS[1:])) == [
        "query 'where is the lamp?' is gone",
        "document 'The lamp is here.' is gone",
    ]
    assert without_ids(changes(ROWS[:3], ROWS)) == [
        "query 'where is the key?' is new",
        "document 'The key is here.' is new",
    ]


def test_two_neighbours_that_changed_are_each_paired_with_their_own(changes):
    now = [("where is a lamp?", *ROWS[0][1:]), ("where is a cup?", *ROWS[1][1:]), *ROWS[2:]]
    assert without_ids(changes(ROWS, now)) == [
        "query 'where is the lamp?' is 'where is a lamp?' now",
        "query 'where is the cup?' is 'where is a cup?' now",
    ]


def test_scores_and_pairs_that_changed_are_named_with_their_texts(changes):
    told = changes(ROWS, changed(0, (*ROWS[0][:2], 0.5)), negatives=([(1, 2)], [(1, 3)]))
    assert told == [
        "train: 'where is the lamp?' and 'The lamp is here.': score 1 then, 0.5 now",
        "negatives: 'where is the cup?' and 'The hat is here.': no longer paired",
        "negatives: 'where is the cup?' and 'The key is here.': newly paired",
    ]


def test_many_changes_are_counted(changes):
    many = [(f"question {n}?", "One answer.", 1.0) for n in range(20)]
    told = changes(many, [(f"query {n}?", "One answer.", 1.0) for n in range(20)])
    assert len(told) == 6
    assert told[-1] == "… and 15 more like these"
