"""The user's own prompt."""

from __future__ import annotations

import pytest

from embedrun_plugins.stages.generators.bedrock import Bedrock
from embedrun_plugins.stages.generators.prompt_template import Template, builtin
from embedrun_plugins.stages.texts.prompt_variables import fill


def faults(text: str, **given: bool) -> list[str]:
    return list(Template(text, examples=given.get("examples", False), language=given.get("language", False)).faults())


def test_a_template_with_its_variables_and_json_in_it_is_fine():
    assert not faults('{title}\n{passage}\nWrite {questions_per_passage} as {"questions": ["…"]} or {}.')
    assert not faults("{passage} {questions_per_passage} {examples} {language}", examples=True, language=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{NUM_QUESTIONS} of {passage}", "line 1, column 1: there is no variable '{NUM_QUESTIONS}'"),
        ("{NUM_QUESTIONS} of {passage}", "did you mean '{questions_per_passage}'?"),
        ("{{NUM_QUESTIONS}} of {passage}", "did you mean '{questions_per_passage}'?"),
        ("{{questions_per_passage}} of {passage}", "single braces"),
        ("{ passage } {questions_per_passage}", "single braces"),
        ("{context_str}\n{num_questions_per_chunk}", "did you mean '{passage}'?"),
        ("{passage}\n  {num_questions_per_chunk}", "line 2, column 3"),
        ("{pasage} {questions_per_passage}", "did you mean 'passage'?"),
        ("{passage.text} {questions_per_passage}", "there is no variable '{passage.text}'"),
        ("{0} {questions_per_passage}", "there is no variable '{0}'"),
        ("{passage}", "'{questions_per_passage}' is not used"),
        ("Write {questions_per_passage} questions.", "'{passage}' is not used"),
        ("{passage} {questions_per_passage} {examples}", "there are none; give 'examples'"),
        ("{passage} {questions_per_passage} {language}", "'language' is not set"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place_and_what_was_meant(text, said):
    assert any(said in fault for fault in faults(text)), faults(text)


def test_examples_or_a_language_that_the_template_does_not_show_are_refused():
    found = faults("{passage} {questions_per_passage}", examples=True, language=True)
    assert [fault.split("'")[1] for fault in found] == ["{examples}", "{language}"]


def test_braces_in_a_passage_stay_what_they_are():
    assert fill("<{passage}>", {"passage": "{title} {x}", "title": "no"}) == "<{title} {x}>"


def test_the_builtin_prompt_leaves_only_the_passage_and_its_title_to_fill():
    text = builtin(titled=True, examples=("Who pays?",), language="German", count=1, json=True)
    assert fill(text, {"passage": "P", "title": "T"}).count("{") == 1
    assert "Write 1 question that" in text
    assert "- Who pays?" in text
    assert "Ask in German." in text


def test_check_refuses_the_original_examples_template(project):
    project.write("data.jsonl", '{"anchor": "a", "positive": "b"}\n')
    project.write(
        "recipe.yaml",
        """
model: sentence-transformers/all-MiniLM-L6-v2
source: {type: pairs, path: data.jsonl}
generator:
  type: bedrock
  prompt: |
    Context: {passage}
    You are a professor. Write {{NUM_QUESTIONS}} questions.
loss: multiple_negatives_ranking
trainer: sentence_transformers
""",
    )
    refused = project.run("check", "recipe.yaml")
    assert refused.code == 2
    assert "recipe.yaml:5:3: generator: prompt: " in refused.err
    assert "line 2, column 28: there is no variable '{{NUM_QUESTIONS}}'" in refused.err
    assert "did you mean '{questions_per_passage}'?" in refused.err


def test_a_budget_needs_a_price():
    assert not list(Bedrock(budget=1).faults())
    assert not list(Bedrock(model="us.amazon.nova-lite-v1:0", budget=1).faults())
    assert not list(Bedrock(model="own", budget=1, price={"input": 1, "output": 2}).faults())
    assert not list(Bedrock(model="own", budget_tokens=1).faults())
    (fault,) = Bedrock(model="own", budget=1).faults()
    assert fault.startswith("budget: the price of 'own' is not known; give price: {input: …, output: …}")
