import pytest

from embedrun.artifacts import CUT_FROM, Document
from embedrun.errors import DataError
from embedrun.testing import check_stage
from embedrun_plugins.stages.filters.leakage import Leakage

LONG = "The council of the town keeps its old records in the tower by the harbour, where nobody has read them since the"
NEAR = (f"{LONG} last whaler left the bay.", f"{LONG} last whalers left the bay.", f"{LONG} LAST whaler left the bay")
CLEAN = ("Who carried salt?", "Ships did.")


def test_it_keeps_the_contract(tmp_path):
    assert len(check_stage(Leakage(), tmp_path).qrels("train")) == 10


def test_what_a_test_holds_is_not_trained_on(made, sift):
    data = made(
        train=[("Where are the records?", "In the cellar."), ("Who reads?", NEAR[1]), ("And who?", NEAR[2]), CLEAN],
        test=[("where are the RECORDS", NEAR[0])],
        negatives={CLEAN[0]: NEAR[1], "Who reads?": "A lamp."},
    )
    found = sift(Leakage(), data)
    assert found.pairs() == {CLEAN}
    assert found.pairs("test") == {("where are the RECORDS", NEAR[0])}
    assert not found.negatives()
    assert len(found.data.documents) == len(data.documents)
    assert found.notes["test_leaked"]["passages_trained_on"] == 1
    assert found.notes["test_leaked"]["queries_trained_on"] == 1
    assert found.notes["test_leaks"]["passages_trained_on"] == 0
    assert found.notes["train_queries_removed"] == 3
    assert len(found.notes["examples"]) == 3
    assert not found.warnings


def test_equal_only_where_asked(made, sift):
    data = made(train=[("Who reads?", NEAR[1]), ("And who?", NEAR[2])], test=[("Which records?", NEAR[0])])
    assert sift(Leakage(threshold=1), data).pairs() == {("Who reads?", NEAR[1])}


def test_what_is_left_is_warned_of(made, sift):
    data = made(
        train=[("Who reads?", NEAR[1]), CLEAN, (CLEAN[0], NEAR[0])], test=[(CLEAN[0], "Nobody."), ("Q?", NEAR[0])]
    )
    found = sift(Leakage(documents=False), data)
    assert found.pairs() == {("Who reads?", NEAR[1])}
    assert "the test split leaks: 1 of its 2 passages" in found.warnings[0]
    assert sift(Leakage(queries=False), data).pairs() == {CLEAN}


def test_a_part_of_a_tested_passage_leaks_however_short(made, sift):
    part = Document("part", "The bay.", "", {CUT_FROM: "whole"})
    data = made(train=[("Who left?", part), CLEAN], test=[("Which records?", Document("whole", NEAR[0]))])
    assert sift(Leakage(), data).pairs() == {CLEAN}


def test_dev_is_cleaned_of_the_test_where_asked(made, sift):
    data = made(train=[CLEAN], dev=[("Who reads?", NEAR[1]), ("Why salt?", "It keeps.")], test=[("Which?", NEAR[0])])
    found = sift(Leakage(splits=["train", "dev"]), data)
    assert found.pairs("dev") == {("Why salt?", "It keeps.")}
    assert sift(Leakage(), data).pairs("dev") == {("Who reads?", NEAR[1]), ("Why salt?", "It keeps.")}


def test_a_training_split_that_is_all_test_is_refused(made, sift):
    with pytest.raises(DataError, match="leaves nothing of the train split, which has 1 queries; hold other"):
        sift(Leakage(), made(train=[("Who reads?", NEAR[1])], test=[("Which?", NEAR[0])]))


def test_it_must_take_something_out():
    assert list(Leakage(queries=False, documents=False).faults())
