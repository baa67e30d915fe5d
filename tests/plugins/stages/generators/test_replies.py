"""Reading questions out of replies, and sorting out what is none."""

from __future__ import annotations

import pytest

from embedrun_plugins.services.language_models.llm_service import Reply
from embedrun_plugins.services.language_models.refusals import refuses
from embedrun_plugins.stages.generators.question_checks import verdict
from embedrun_plugins.stages.generators.replies import ReplyReader, questions

BOTH = ["What is A?", "Who is B?"]


@pytest.mark.parametrize(
    "reply",
    [
        "1. What is A?\n2. Who is B?",
        "1) What is A?\n2) Who is B?",
        "(1) What is A?\n(2) Who is B?",
        "1.What is A?\n2.Who is B?",
        "- What is A?\n- Who is B?",
        "* What is A?\n* Who is B?",
        "• What is A?\n\n• Who is B?",
        "Here are 2 questions:\n\n1. What is A?\n2. Who is B?\n\nLet me know if you need more!",
        "Questions:\n**1.** What is A?\n**2.** Who is B?",
        "1. **What is A?**\n2. **Who is B?**",
        "Q1: What is A?\nQ2: Who is B?",
        "**Q1:** What is A?\n**A1:** It is nothing.\n**Q2:** Who is B?\n**A2:** Nobody?",
        "Question 1: What is A?\nQuestion 2: Who is B?",
        "Question 1\nWhat is A?\nQuestion 2\nWho is B?",
        "### Question 1: What is A?\n### Question 2: Who is B?",
        "Sure, here you go: 1. What is A? 2. Who is B?",
        "What is A?\nWho is B?",
        '"What is A?",\n"Who is B?"',
        '1. "What is A?"\n2. “Who is B?”',
        "1. What\n   is A?\n2. Who is B?",
        "<think>\n1. Should I?\n</think>\n1. What is A?\n2. Who is B?",
        '["What is A?", "Who is B?"]',
        '["What is A?", "Who is B?",]',
        '```json\n{"questions": ["What is A?", "Who is B?"]}\n```',
        'Sure! {"questions": ["What is A?", "Who is B?"]} I hope that helps.',
        '[{"question": "What is A?", "answer": "x"}, {"question": "Who is B?", "answer": "y?"}]',
        '{"question_1": "What is A?", "question_2": "Who is B?"}',
        '{"1": "What is A?", "2": "Who is B?"}',
        '{"topic": "letters", "queries": [{"query": "What is A?"}, {"query": "Who is B?"}]}',
        '["1. What is A?", "2. Who is B?"]',
        '["What is A?", "Who is B?", "Whe',
        '{\n "questions": [\n  "What is A?",\n  "Who is B?"\n ]\n}',
    ],
)
def test_a_reply_is_read_however_it_is_laid_out(reply):
    assert questions(reply) == BOTH


@pytest.mark.parametrize("reply", ["", "garbage", "{}", '{"questions": []}', "<think>1. What is A?", "Well, I see."])
def test_nothing_is_read_where_there_is_nothing(reply):
    assert questions(reply) == []


def test_figures_and_brackets_in_questions_stay():
    assert questions("1. 2021 revenue of [Lyft] in {USD}?\n2. 10-K risks?\n") == [
        "2021 revenue of [Lyft] in {USD}?",
        "10-K risks?",
    ]
    assert questions("1. lyft revenue 2021\n2. uber drivers") == ["lyft revenue 2021", "uber drivers"]


def test_the_broken_end_of_a_truncated_reply_is_left_out():
    assert questions("1. What is A?\n2. Who is", truncated=True) == ["What is A?"]
    assert questions("1. What is A?\n2. Who is B?", truncated=True) == BOTH


@pytest.mark.parametrize(
    "text",
    [
        "According to the text, what is A?",
        "What does the passage say about A?",
        "Based on the context information, what is A?",
        "What is the main idea of this document?",
        "What does the author argue?",
        "What is described in the provided excerpt?",
        "Which examples of A are mentioned in the document?",
        "How does the document define A?",
        "What is A? Provide examples from the context information.",
        "As stated in the above paragraph, what is A?",
        "Laut Text, was ist A?",
        "Selon le texte, qu'est-ce que A ?",
    ],
)
def test_a_question_that_needs_its_passage_is_a_meta_question(text):
    assert verdict(text) == "meta_question"


@pytest.mark.parametrize(
    "text",
    [
        "In the context of lease accounting, what is a finance lease?",
        "Who is the author of Emma?",
        "How did the passage of Proposition 22 affect Uber's drivers?",
        "What changed in the document retention policy at Lyft?",
        "Which laws does the Information Act amend?",
        "What is the text of the amendment?",
        "What does Article 5 say on mergers?",
        "Wie hoch war der Umsatz?",
        "売上高は？",  # noqa: RUF001  # Japanese
    ],
)
def test_a_question_about_the_world_is_none(text):
    assert verdict(text) == "question"


@pytest.mark.parametrize(
    "text", ["I'm sorry, but I can't help.", "I cannot do that", "As an AI model, I", "Unfortunately, no."]
)
def test_a_refusal_is_seen(text):
    assert refuses(text)
    assert verdict(text) == "refusal"


@pytest.mark.parametrize("text", ["What?", "Revenue", "x" * 700])
def test_what_is_too_short_or_too_long_is_no_question(text):
    assert verdict(text) == "not_a_question"


def test_a_reader_counts_what_it_leaves_out():
    reader = ReplyReader(2, keep_meta_questions=False)
    text = "1. What is A today?\n2. what is a, today\n3. According to the text, who?\n4. No\n5. Who is B then?"
    assert reader.read(Reply(text), last=True) == ["What is A today?", "Who is B then?"]
    assert reader.read(Reply("garbage"), last=False) is None
    assert reader.read(Reply("1. What does the author argue?"), last=False) is None
    assert reader.read(Reply("garbage"), last=True) == []
    assert reader.read(Reply("I'm sorry."), last=False) == []
    assert reader.read(Reply("too long", "declined"), last=False) == []
    assert reader.read(None, last=False) == []
    assert reader.summary == ("declined 1, duplicates 1, meta questions 2, no questions 1, refusals 1, unreadable 2")


def test_meta_questions_are_kept_where_they_are_wanted():
    reader = ReplyReader(2, keep_meta_questions=True)
    assert reader.read(Reply("1. What does the author argue?"), last=True) == ["What does the author argue?"]
