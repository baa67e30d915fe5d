import random
from functools import cache

import numpy as np
import pytest

from embedrun.artifacts import CUT_FROM, Document
from embedrun_plugins.stages.texts.near_duplicates import clusters, document_clusters, runs

WORDS = ["council", "town", "records", "tower", "ships", "carried", "salt", "herring", "northern", "harbour", "whaler"]


def passage(chance: random.Random, length: int = 80) -> list[str]:
    return [f"{chance.choice(WORDS)}{chance.choice('abcdefgh')}{chance.choice('ijklmnop')}" for _ in range(length)]


@cache
def runs_of(text: str) -> frozenset[int]:
    return frozenset(runs(text).tolist())


def similarity(one: str, other: str) -> float:
    left, right = runs_of(one), runs_of(other)
    return len(left & right) / len(left | right)


def test_texts_that_differ_in_case_space_and_punctuation_are_one():
    assert clusters(["A pier.", "Salt", "a  PIER", "salt!", "Herring"], 1).tolist() == [0, 1, 0, 1, 4]


def test_clusters_are_those_of_comparing_every_pair():
    chance = random.Random(3)
    texts = []
    for _ in range(20):
        words = passage(chance)
        texts.append(" ".join(words))
        for changes in (1, 2, 4):
            for place in chance.sample(range(len(words)), changes):
                words[place] = "altered"
            texts.append(" ".join(words))
    chance.shuffle(texts)
    for threshold in (0.7, 0.8, 0.9):
        first = list(range(len(texts)))
        for one in range(len(texts)):
            for other in range(one):
                if first[one] != first[other] and similarity(texts[one], texts[other]) >= threshold:
                    low, high = sorted((first[one], first[other]))
                    first = [low if label == high else label for label in first]
        assert clusters(texts, threshold).tolist() == first
        assert len(set(first)) < len(texts)


def test_a_pair_at_the_threshold_is_hardly_ever_missed():
    chance = random.Random(5)
    texts = []
    for _ in range(400):
        words = passage(chance)
        texts.append(" ".join(words))
        words[40] = "x"
        texts.append(" ".join(words))
    near = [similarity(one, other) for one, other in zip(texts[::2], texts[1::2], strict=True)]
    threshold = float(np.quantile(near, 0.02))
    found = clusters(texts, threshold).tolist()
    met = [one == other for one, other in zip(found[::2], found[1::2], strict=True)]
    assert all(hit == (value >= threshold) for hit, value in zip(met, near, strict=True))


def test_other_figures_make_another_text():
    texts = [
        f"Revenue of the whole group in the year {year} rose more than all of us expected." for year in (2021, 2022)
    ]
    assert clusters(texts, 0.8).tolist() == [0, 1]
    assert clusters(texts, 0.8, same_numbers=False).tolist() == [0, 0]


def test_thousands_of_one_template_are_one_cluster_soon():
    texts = [
        f"{' '.join(WORDS)} as the clerk {chr(97 + n // 26 % 26)}{chr(97 + n % 26)}{n // 676 * 'o'} wrote"
        for n in range(3000)
    ]
    assert set(clusters(texts, 0.8).tolist()) == {0}


@pytest.mark.parametrize("texts", [[], ["one"], ["", ""], ["", "?", "…"], ["一", "二", "一"], ["ab", "ab.", "abc"]])
def test_short_and_empty_texts_are_compared_too(texts):
    found = clusters(texts)
    assert found.dtype == np.int64
    assert [texts[place] for place in found] == [
        next(t for t in texts if t.strip(".") == text.strip(".")) for text in texts
    ]


def test_what_was_cut_from_a_document_is_its_twin():
    whole = Document.of("A long pier of stone. Nobody is there.")
    parts = [Document.of("Nobody is there.", **{CUT_FROM: whole.id}), Document.of("Salt.", **{CUT_FROM: "unknown"})]
    assert document_clusters([parts[0], Document.of("Herring."), whole, parts[1]]).tolist() == [0, 1, 0, 3]
    assert document_clusters([Document("None", "Salt."), Document("1", "Herring.")]).tolist() == [0, 1]
