import pytest

from embedrun.artifacts import CUT_FROM, Document, Model
from embedrun.errors import DataError
from embedrun.testing import check_stage
from embedrun_plugins.stages.filters.round_trip import RoundTrip

HARBOUR = ("Who keeps the harbour's records?", "The council keeps the records of the harbour in a tower.")
SALT = ("What did ships carry?", "Ships carried salt and herring to the north.")
LOST = ("What does the form say?", "Bread is baked of flour, water and yeast.")
OTHERS = ("This form states your name and address.", "Nobody lives in the mill.", "Wool comes from sheep.")


def test_it_keeps_the_contract(tmp_path):
    assert len(check_stage(RoundTrip(k=12), tmp_path).qrels("train")) > 0


def test_a_question_that_leads_elsewhere_is_not_trained_on(made, sift, minilm):
    data = made(train=[HARBOUR, SALT, LOST], test=[("And what does the form say?", LOST[1])], more=OTHERS)
    found = sift(RoundTrip(k=1), data, Model(minilm))
    assert found.pairs() == {HARBOUR, SALT}
    assert found.pairs("test") == {("And what does the form say?", LOST[1])}
    assert found.notes["train_found"] == pytest.approx(2 / 3, abs=1e-3)
    assert found.notes["examples"] == [{"query": LOST[0], "found": OTHERS[0]}]
    assert not found.warnings
    assert len(sift(RoundTrip(k=6), data, Model(minilm)).pairs()) == 3


def test_a_twin_is_as_good_and_copies_take_one_place(made, sift, minilm):
    copies = tuple(Document(f"copy-{n}", SALT[1]) for n in range(3))
    twin = Document("twin", "Ships carried salt and herring to the NORTH!", "", {"split": "other"})
    data = made(train=[(SALT[0], twin), ("Who carried salt in ships?", HARBOUR[1])], more=copies)
    found = sift(RoundTrip(k=1), data, Model(minilm))
    assert found.pairs() == {(SALT[0], twin.text)}
    assert len(sift(RoundTrip(k=3), data, Model(minilm)).pairs()) == 2


def test_a_part_made_for_training_is_found_by_its_passage(made, sift, minilm):
    part = Document("part", "To the north.", "", {CUT_FROM: "whole"})
    data = made(train=[(SALT[0], part)], more=(Document("whole", SALT[1]), *OTHERS))
    assert sift(RoundTrip(k=1), data, Model(minilm)).pairs() == {(SALT[0], part.text)}


def test_taking_out_of_a_test_what_the_base_fails_at_is_warned_of(made, sift, minilm):
    data = made(train=[SALT], test=[HARBOUR, LOST], more=OTHERS)
    found = sift(RoundTrip(k=1, splits=["train", "test"]), data, Model(minilm))
    assert found.pairs("test") == {HARBOUR}
    assert "1 of 2 queries of the test split are removed" in found.warnings[0]


def test_losing_all_says_what_to_loosen(made, sift, minilm):
    with pytest.raises(DataError, match=r"'round_trip' leaves nothing of the train split.*raise k, which is 1"):
        sift(RoundTrip(k=1), made(train=[LOST], more=OTHERS), Model(minilm))


def test_prompts_are_applied(made, sift, minilm):
    from embedrun.model_settings import ModelSettings

    data = made(train=[HARBOUR, SALT, LOST], more=OTHERS)
    misled = ModelSettings(prompts={"query": "Bread is baked of flour, water and yeast. "})
    found = sift(RoundTrip(k=1), data, Model(minilm, misled))
    assert LOST in found.pairs()
