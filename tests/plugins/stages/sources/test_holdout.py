import random

import pytest

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.pairs import Pairs
from embedrun_plugins.stages.texts.keys import near_key

SEEDS = range(25)


def tangled(rows: int, passages: int, seed: int) -> list[dict[str, str]]:
    """Rows with several questions per passage, several passages per question, and texts that differ in case only."""
    chance = random.Random(seed)
    made = []
    for _ in range(rows):
        question, passage = f"question {chance.randrange(rows)}", f"passage {chance.randrange(passages)}."
        made.append({"anchor": question, "positive": passage.upper() if chance.random() < 0.1 else passage})
    return made


def plainly(texts) -> set[str]:
    return {text.casefold().strip(" .") for text in texts}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_passage_and_no_question_of_a_test_is_trained_on(read, jsonl, seed):
    rows = tangled(200, 250, seed)
    given = read(Pairs.model_validate({"path": jsonl(rows), "holdout": {"test": 0.2, "dev": 12}}), seed=seed)
    sides = [given.texts(split) for split in ("train", "dev", "test")]
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert not plainly(d for _, d, _ in sides[one]) & plainly(d for _, d, _ in sides[other])
        assert not plainly(q for q, _, _ in sides[one]) & plainly(q for q, _, _ in sides[other])
    assert set().union(*sides) == {(row["anchor"], row["positive"], 1.0) for row in rows}
    for split in ("dev", "test"):
        assert given.notes[f"{split}_leaks"]["passages_trained_on"] == 0
        assert given.notes[f"{split}_leaks"]["best_ndcg@10"] == 1.0
    assert given.warnings == []


@pytest.mark.parametrize(("asked", "expected"), [(0.1, 20), (0.001, 1), (37, 37), (199, 199)])
def test_a_share_or_a_number_of_queries_is_held_out(read, jsonl, asked, expected):
    rows = [{"anchor": f"q{i}", "positive": f"p{i}"} for i in range(200)]
    given = read(Pairs.model_validate({"path": jsonl(rows), "holdout": asked}))
    assert given.notes["test_queries"] == expected
    assert given.notes["train_queries"] == 200 - expected


def test_whole_groups_are_held_out_as_long_as_they_fit(read, jsonl):
    rows = [{"anchor": f"q{i}", "positive": f"p{i // 3}"} for i in range(60)]
    given = read(Pairs.model_validate({"path": jsonl(rows), "holdout": 10}))
    assert given.notes["test_queries"] == 9


def test_the_test_is_another_one_with_another_seed_and_the_same_with_the_same(read, jsonl):
    source = Pairs.model_validate(
        {"path": jsonl({"anchor": f"q{i}", "positive": f"p{i}"} for i in range(100)), "holdout": 10}
    )
    tests = [frozenset(read(source, seed=seed).texts("test")) for seed in (1, 1, 2, 3)]
    assert tests[0] == tests[1]
    assert len(set(tests)) == 3


def test_dev_is_held_out_of_the_train_file_alone(read, jsonl):
    train = jsonl(({"anchor": f"q{i}", "positive": f"p{i}"} for i in range(50)), "train.jsonl")
    test = jsonl(({"anchor": f"t{i}", "positive": f"u{i}"} for i in range(5)), "test.jsonl")
    source = Pairs.model_validate({"path": {"train": train, "test": test}, "holdout": {"dev": 0.2}})
    assert source.splits_given() == {"train", "dev", "test"}
    given = read(source)
    assert [given.notes[f"{split}_queries"] for split in ("train", "dev", "test")] == [40, 10, 5]


@pytest.mark.parametrize("seed", SEEDS)
def test_by_row_leaks_and_says_how_much(read, jsonl, seed):
    rows = [{"anchor": f"q{i}", "positive": f"p{i // 4}"} for i in range(200)]
    source = Pairs.model_validate({"path": jsonl(rows), "holdout": {"test": 40, "by": "row"}})
    given = read(source, seed=seed)
    trained = {d for _, d, _ in given.texts("train")}
    tested = {d for _, d, _ in given.texts("test")}
    assert given.notes["test_leaks"]["passages_trained_on"] == len(trained & tested) > 0
    assert given.notes["test_leaks"]["passages"] == len(tested)
    assert given.notes["test_leaks"]["best_ndcg@10_unmerged"] == pytest.approx(0.6404, abs=1e-3)
    assert f"{len(trained & tested)} of its {len(tested)} passages" in given.warnings[0]


def test_a_group_too_large_to_leave_training_rows_is_refused(read, jsonl):
    rows = [{"anchor": f"q{i}", "positive": "p"} for i in range(9)] + [{"anchor": "x", "positive": "y"}]
    with pytest.raises(DataError, match="holdout"):
        read(Pairs.model_validate({"path": jsonl(rows), "holdout": {"test": 9, "dev": 1}}))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is  Bedrock?", "what is bedrock", True),
        ("“Fine-tuning”", "fine tuning", True),
        ("a b", "a c", False),
        ("🙂", "🙃", False),
        ("!!!", "???", False),
        ("कि", "की", False),
        ("מה זה", "מה זה?", True),
    ],
)
def test_texts_are_near_if_only_case_space_and_punctuation_differ(one, other, same):
    assert (near_key(one) == near_key(other)) is same
