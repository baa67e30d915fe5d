"""Splits of passages: none in two of them, and questions held out."""

import pytest

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.documents import Documents
from written_documents import unlike, words


def asked(given) -> list[str]:
    return [document.metadata.get("asked", "") for document in given.data.documents.values()]


@pytest.fixture
def many(folder):
    """Forty passages, of which the last ten nearly repeat the first ten."""
    files = {f"{n:02}.txt": unlike(n) for n in range(30)}
    files |= {f"{30 + n}.txt": unlike(n).upper() for n in range(10)}
    return str(folder(files))


def test_a_passage_in_two_splits_stays_in_the_tests_only(harvest, folder):
    shared, nearly = words(500, 30), unlike(7)
    place = folder({
        "lyft.md": f"{shared}\n\n{words(0, 30)}\n\n{nearly}",
        "uber.md": f"{words(100, 30)}\n\n{shared}\n\n{nearly.upper()}",
    })  # fmt: skip
    given = harvest(str(place), splits={"train": ["lyft"], "test": ["uber"]}, size=33, overlap=0)
    assert [d.text for d in given.data.searched("train")] == [words(0, 30)]
    assert len(given.data.searched("test")) == 3
    assert given.notes["passages_dropped_as_in_two_splits"] == 2
    assert (
        "2 passages that are in files of two splits, equal or nearly equal, are dropped (2 from train)"
        in (given.warnings[0])
    )
    assert (given.notes["train_documents"], given.notes["test_documents"]) == (1, 3)


def test_a_split_of_which_nothing_is_left_is_an_error(harvest, folder):
    place = folder({"a.txt": words(0, 30), "b.txt": words(0, 30)})
    with pytest.raises(DataError, match="no passage is left to train: each is also in a file of another split"):
        harvest(str(place), splits={"train": ["a"], "test": ["b"]})


def test_passages_are_held_out_while_all_are_searched(harvest, many):
    given = harvest(many, holdout={"test": 0.2, "dev": 4})
    assert given.notes["test_passages_held_out"] == asked(given).count("test") == 8
    assert given.notes["dev_passages_held_out"] == asked(given).count("dev") == 4
    assert asked(given).count("") == 28
    assert len(given.data.searched("test")) == 40
    source = Documents.model_validate({"path": many, "holdout": {"test": 0.2, "dev": 4}})
    assert source.splits_given() == {"train", "dev", "test"}
    assert source.columns_given() == frozenset()


@pytest.mark.parametrize("seed", range(5))
def test_nearly_equal_passages_are_held_out_together(harvest, many, seed):
    held = asked(harvest(many, seed, holdout=0.5))
    assert held[:10] == held[30:]
    assert "test" in held


def test_by_row_each_passage_goes_its_own_way(harvest, many):
    found = [asked(harvest(many, seed, holdout={"test": 0.5, "by": "row"})) for seed in range(3)]
    assert any(held[:10] != held[30:] for held in found)
    assert {held.count("test") for held in found} == {20}


def test_the_seed_decides_what_is_held_out(harvest, many):
    first, again, other = (asked(harvest(many, seed, holdout=0.3)) for seed in (1, 1, 2))
    assert first == again != other


def test_dev_can_be_held_out_of_the_train_files(harvest, folder):
    files = {f"train{n}.txt": unlike(n) for n in range(10)} | {"test.txt": unlike(99)}
    given = harvest(str(folder(files)), splits={"train": "train", "test": "test"}, holdout={"dev": 3})
    marks = {(d.metadata["split"], d.metadata.get("asked")) for d in given.data.documents.values()}
    assert marks == {("train", None), ("train", "dev"), ("test", None)}
    assert given.notes["dev_passages_held_out"] == 3


def test_too_much_held_out_is_an_error(harvest, folder):
    with pytest.raises(DataError, match="holdout: 5 of 1 passages cannot be held out; some must be left to train on"):
        harvest(str(folder({"a.txt": words(0, 30)})), holdout=5)
