import math
import random

import pytest

from embedrun_plugins.stages.texts.leaks import find_leak, perfect_ndcg, perfect_ndcg_unmerged


def simulated(relevant: int, answering: int, rounds: int = 20_000) -> float:
    chance = random.Random(0)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(relevant, 10) + 1))
    total = 0.0
    for _ in range(rounds):
        ranks = chance.sample(range(1, answering + 1), relevant)
        total += sum(1 / math.log2(rank + 1) for rank in ranks if rank <= 10) / ideal
    return total / rounds


@pytest.mark.parametrize(("relevant", "answering"), [(1, 1), (1, 2), (1, 3), (2, 3), (3, 15), (12, 14), (12, 12)])
def test_the_ceiling_is_what_random_orders_of_equals_give(relevant, answering):
    assert perfect_ndcg(relevant, answering) == pytest.approx(simulated(relevant, answering), abs=0.01)


def test_one_of_two_equal_passages_can_reach_four_fifths():
    assert perfect_ndcg(1, 2) == pytest.approx((1 + 1 / math.log2(3)) / 2)


def test_three_rows_on_one_passage_reach_what_the_examples_could():
    assert perfect_ndcg_unmerged([3, 1], [0]) == pytest.approx(0.71, abs=0.005)
    assert perfect_ndcg_unmerged([3, 1], [1]) == 1.0
    assert perfect_ndcg_unmerged([3, 1], []) == 0.0


def test_what_is_shared_with_training_is_counted_once():
    leak = find_leak({"train": [(0, 0), (1, 1), (3, 1)], "test": [(0, 2), (2, 1), (4, 3)]}, "test")
    assert (leak.passages, leak.passages_trained_on) == (3, 1)
    assert (leak.queries, leak.queries_trained_on) == (3, 1)
    assert leak.perfect_ndcg == pytest.approx((perfect_ndcg(1, 2) + 1 + 1) / 3)
    assert leak.leaks


def test_equal_passages_with_ids_of_their_own_count_as_one():
    leak = find_leak({"train": [(0, 0)], "test": [(1, 1)]}, "test", document_keys=[7, 7, 7], query_keys=[5, 5])
    assert (leak.passages_trained_on, leak.queries_trained_on) == (1, 1)
    assert leak.perfect_ndcg == pytest.approx(perfect_ndcg(1, 3))


def test_a_clean_split_does_not_leak():
    leak = find_leak({"train": [(0, 0)], "test": [(1, 1)]}, "test")
    assert not leak.leaks
    assert leak.perfect_ndcg == 1.0
