"""The quickstart's data are what the recipe says of them."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from embedrun_plugins.services import shipped_recipes

STOP_WORDS = """
i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it its
itself they them their theirs themselves what which who whom whose this that these those am is are was were be been
being have has had having do does did doing a an the and but if or because as until while of at by for with about
against between into through during before after above below to from up down in out on off over under again further
then once here there when where why how all any both each few more most other some such no nor not only own same so
than too very s t can will just don should now would could may might must shall cannot also upon within without else
ever every unless whether though although yet since anybody anyone anything nobody none nothing somebody someone
something everybody everyone everything whoever whatever however us onto per via
"""


@pytest.fixture(scope="module")
def passages():
    found: dict[str, list[str]] = {}
    for line in (shipped_recipes.recipes_folder() / "data/handbook.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["positive"], []).append(row["anchor"])
    return found


def stem(word):
    for ending in ("ies", "ing", "ed", "ly", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word.removesuffix(ending)
            break
    return word.removesuffix("e") if len(word) > 3 else word


def content_words(text):
    return {stem(word) for word in re.findall(r"[a-z]{3,}", text.lower()) if word not in STOP_WORDS.split()}


def test_there_are_enough_passages_and_questions(passages):
    questions = [question for asked in passages.values() for question in asked]
    assert len(passages) >= 150
    assert len(questions) >= 450
    assert len(set(questions)) == len(questions)
    assert all(40 <= len(passage.split()) <= 90 for passage in passages)


def test_half_of_the_questions_share_no_content_word_with_their_answer(passages):
    pairs = [(question, passage) for passage, asked in passages.items() for question in asked]
    apart = sum(not content_words(question) & content_words(passage) for question, passage in pairs)
    assert apart / len(pairs) >= 0.5


def test_house_words_recur_across_passages(passages):
    glossary = (shipped_recipes.recipes_folder() / "data/handbook.md").read_text("utf-8")
    words = re.findall(r"^\| (\w+) \|", glossary, re.MULTILINE)
    assert len(words) >= 28
    for word in words:
        stemmed = word.lower().removesuffix("s").removesuffix("y")
        assert sum(stemmed in passage.lower() for passage in passages) >= 8, word


def test_questions_are_not_stamped_out(passages):
    openings = Counter(" ".join(question.lower().split()[:3]) for asked in passages.values() for question in asked)
    assert openings.most_common(1)[0][1] <= 0.02 * openings.total()
