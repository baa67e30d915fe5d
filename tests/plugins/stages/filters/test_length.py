import pytest
from pydantic import ValidationError

from embedrun.errors import DataError
from embedrun.testing import check_stage
from embedrun_plugins.stages.filters.length import Length

PAIRS = [("Why?", "The pier was built to last."), ("Who built the long pier?", "Nobody knows.")]


@pytest.mark.parametrize("unit", ["characters", "words", "tokens"])
def test_it_keeps_the_contract(unit, tmp_path):
    kept = check_stage(Length(unit=unit, queries={"max": 200}), tmp_path)
    assert len(kept.qrels("train")) == 10
    assert len(kept.negatives()) == 10


def test_queries_out_of_bounds_go_with_their_negatives_and_passages_stay(made, sift):
    data = made(train=PAIRS, test=[("Eh?", "The pier.")], negatives={"Why?": "A tower.", PAIRS[1][0]: "A lamp."})
    found = sift(Length(unit="words", queries={"min": 2}), data)
    assert found.pairs() == {PAIRS[1]}
    assert found.negatives() == {(PAIRS[1][0], "A lamp.")}
    assert found.pairs("test") == {("Eh?", "The pier.")}
    assert list(found.data.documents) == list(data.documents)
    assert [query.text for query in found.data.queries.values()] == [PAIRS[1][0], "Eh?"]
    assert found.notes["train_queries_removed"] == 1
    assert found.notes["examples"] == ["1 words: Why?"]


def test_passages_out_of_bounds_are_no_answers_but_still_distract(made, sift):
    data = made(train=PAIRS, test=[("And what?", "Salt.")], more=("Herring.",))
    bounds = {"unit": "words", "documents": {"min": 3}}
    kept = sift(Length(**bounds), data)
    assert kept.pairs() == {PAIRS[0]}
    assert len(kept.data.documents) == 4
    dropped = sift(Length(**bounds, drop_documents=True), data)
    assert {document.text for document in dropped.data.documents.values()} == {PAIRS[0][1], "Salt."}
    assert dropped.pairs("test") == {("And what?", "Salt.")}
    assert dropped.notes["documents_removed"] == 2


def test_tokens_are_the_models_own(made, sift, tmp_path):
    from embedrun.testing import tiny_model

    data = made(train=[("where is the lamp?", "The lamp is here."), ("zzz", "The river.")])
    found = sift(Length(unit="tokens", queries={"min": 5, "max": 5}), data, tiny_model(tmp_path / "model"))
    assert found.pairs() == {("where is the lamp?", "The lamp is here.")}


def test_a_split_is_never_emptied(made, sift):
    with pytest.raises(DataError, match=r"'length' leaves nothing of the train split, which has 2 queries; widen"):
        sift(Length(queries={"min": 500}), made(train=PAIRS))


def test_bounds_must_bound_something():
    assert list(Length().faults()) == ["removes nothing: give it bounds for 'queries', 'documents' or both"]
    assert "drop_documents" in next(iter(Length(queries={"min": 1}, drop_documents=True).faults()))
    with pytest.raises(ValidationError, match="sets no bound"):
        Length(queries={})
    with pytest.raises(ValidationError, match=r"min \(9\) must not be above max \(3\)"):
        Length(queries={"min": 9, "max": 3})
