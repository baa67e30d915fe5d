"""How questions are asked: styles and their shares, words of the house."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from embedrun.artifacts import Document, RetrievalSet
from embedrun.plan import keyed
from embedrun_plugins.stages.generators.bedrock import Bedrock
from embedrun_plugins.stages.generators.openai import OpenAI
from embedrun_plugins.stages.generators.question_set import AskedPassage
from embedrun_plugins.stages.generators.question_styles import assigned

FOUR = {"factual": 0.5, "keyword": 0.25, "complaint": {"share": 0.25, "instruction": "Write as an angry customer."}}
RECIPE = """
model: sentence-transformers/all-MiniLM-L6-v2
source: {type: pairs, path: rows.jsonl, columns: {anchor: question, positive: answer}}
generator: {type: openai, model: m, %s}
loss: multiple_negatives_ranking
trainer: sentence_transformers
"""


@pytest.fixture
def chat(server):
    def make(**values: Any) -> OpenAI:
        return OpenAI(base_url=f"{server.url}/v1", **{"model": "llama", **values})

    return make


def prompts(server) -> list[str]:
    return [request[1]["messages"][-1]["content"] for request in server.asked]


def test_shares_are_exact_and_each_query_keeps_the_name_of_its_style(chat, server, ask, passages):
    ran = ask(chat(styles=FOUR), passages())
    assert ran.notes["passages_by_style"] == {"complaint": 4, "factual": 8, "keyword": 4}
    assert ran.notes["questions_by_style"] == {"complaint": 8, "factual": 16, "keyword": 8}
    assert Counter(query.metadata["style"] for query in ran.made.queries.values()) == {
        "complaint": 8,
        "factual": 16,
        "keyword": 8,
    }
    assert sum("Write as an angry customer." in prompt for prompt in prompts(server)) == 4
    assert not [q.text for q in ran.made.queries.values() if q.metadata["style"] == "keyword" and "?" in q.text]


def test_which_passage_gets_which_style_depends_on_content_and_seed_alone(chat, server, ask, passages):
    data = passages(40)
    first = ask(chat(styles=FOUR, concurrency=5), data)
    order = list(data.documents.values())[::-1]
    turned = RetrievalSet.write(data.path.with_name("turned"), documents=order, queries=[], qrels={})
    again = ask(chat(styles=dict(reversed(FOUR.items())), concurrency=1), turned)
    assert again.notes["requests_sent"] == 0
    assert {q.text: q.metadata["style"] for q in again.made.queries.values()} == {
        q.text: q.metadata["style"] for q in first.made.queries.values()
    }
    assert ask(chat(styles=FOUR), data, seed=7).notes["requests_sent"] > 0


def test_one_more_passage_changes_the_style_of_few():
    styles = OpenAI(model="m", styles=["factual", "how_to", "comparison", "keyword", "long_winded"]).styles
    documents = [AskedPassage("train", Document.of(f"passage number {n}")) for n in range(500)]
    before, after = assigned(documents, styles, 1), assigned([*documents, documents[0]], styles, 1)
    assert sum(first != second for first, second in zip(before, after, strict=False)) <= 5
    for count in (1, 2, 3, 7, 499):
        numbers = Counter(assigned(documents[:count], styles, 1))
        assert all(abs(number - count / 5) < 1 for number in numbers.values())


def test_words_of_the_house_are_shown_with_what_they_mean(chat, server, ask, passages, tmp_path):
    (tmp_path / "words.txt").write_text("AFS: available for sale\n\nNWC\n", "utf-8")
    ask(chat(words=["the Shed"], words_file=tmp_path / "words.txt"), passages(1))
    assert "use these words, as people here do: the Shed; AFS (available for sale); NWC." in prompts(server)[0]


def test_of_many_words_a_prompt_shows_those_of_its_passage(chat, server, ask, passages):
    words = {f"word{n}": "" for n in range(30)} | {"lightbox": "LAMP"}
    ask(chat(words=words), passages())
    shown = [prompt for prompt in prompts(server) if "as people here do" in prompt]
    assert shown
    assert all("people here do: lightbox (LAMP)." in prompt and "lamp" in prompt for prompt in shown)


def test_a_prompt_of_ones_own_takes_style_and_words(chat, server, ask, passages):
    prompt = "{style} | {words} | {questions_per_passage} | <passage>{passage}</passage>"
    ask(chat(prompt=prompt, styles=["how_to"], words={"NWC": "working capital"}), passages(1))
    assert prompts(server)[0].startswith("Ask how something is done")
    assert "| NWC (working capital) | 2 |" in prompts(server)[0]


def test_without_styles_nothing_of_them_is_in_the_key_or_the_lock():
    names = {"styles", "words", "words_file", "multi_hop"}
    assert not names & set(keyed(Bedrock()))
    assert not names & set(Bedrock().model_dump())
    assert {"styles", "words", "multi_hop"} <= set(keyed(Bedrock(styles=["factual"], words=["x"], multi_hop={})))


def test_a_lock_holds_the_styles_in_full_and_reads_back():
    stage = OpenAI(model="m", styles=FOUR)
    assert OpenAI(**json.loads(stage.model_dump_json())) == stage


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("styles: {factual: 0.5, keyword: 0.4}", "the shares add up to 0.9, but must add up to 1"),
        ("styles: [factul]", "there is no style 'factul'; did you mean 'factual'?"),
        ("styles: {mine: 1}", "there is no style 'mine'"),
        ("styles: {mine: 1}", "needs its instruction: {mine: {share: 0.2, instruction: …}}"),
        ("styles: {factual: 0.5, keyword: }", "'keyword' has no share, though others have"),
        ("styles: [factual, factual]", "'factual' is named twice"),
        ("styles: {factual: 1.5}", "must be at most 1"),
        ("styles: [factual], prompt: '{passage} {questions_per_passage}'", "'{style}' is not used"),
        ("prompt: '{passage} {questions_per_passage} {style}'", "there are no styles; give 'styles'"),
        ("words: [x], prompt: '{passage} {questions_per_passage}'", "'{words}' is not used"),
        ("multi_hop: {passages: 1}", "must be at least 2"),
        ("multi_hop: {prompt: '{passage}'}", "multi_hop.prompt: '{questions_per_passage}' is not used"),
        ("words_file: none.txt", "none.txt: no such file"),
    ],
)
def test_check_refuses_wrong_styles(project, written, sentence):
    project.write("rows.jsonl", '{"question": "q", "answer": "a"}\n')
    project.write("recipe.yaml", RECIPE % written)
    shown = project.run("check", "recipe.yaml")
    assert shown.code == 2
    assert sentence in shown.err, shown.err
    assert "recipe.yaml:" in shown.err
