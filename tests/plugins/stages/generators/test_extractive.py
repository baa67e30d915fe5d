import random

import pytest

from embedrun.artifacts import CUT_FROM, Document, Judgement, Query, RetrievalSet
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun.testing import check_stage
from embedrun_plugins.stages.generators.crop import Crop
from embedrun_plugins.stages.generators.inverse_cloze import InverseCloze
from embedrun_plugins.stages.generators.title import Title
from embedrun_plugins.stages.sources.llama_index import LlamaIndex
from embedrun_plugins.stages.texts.sentences import sentences, words

GENERATORS = (Crop(), InverseCloze(), Title())
TOWNS = ("Aarhus", "Bergen", "Cadiz", "Delft", "Evora", "Fulda", "Ghent", "Huesca")


def text_of(town: str) -> str:
    return (
        f"The harbour of {town}\n\n{town} lies on the sea and has a long pier. Ships from {town} carried salt and "
        f"herring north. The council of {town} keeps its records in a tower. Nobody in {town} saw the last whaler."
    )


@pytest.fixture
def towns(tmp_path):
    """Four passages of train, two of dev, two of test."""
    splits = ["train"] * 4 + ["dev"] * 2 + ["test"] * 2
    documents = [Document.of(text_of(town), split=split) for town, split in zip(TOWNS, splits, strict=True)]
    return RetrievalSet.write(tmp_path / "towns", documents=documents, queries=[], qrels={})


@pytest.fixture
def filings(data, tmp_path):
    """The passages of Lyft's and Uber's filings, without their questions."""
    given = LlamaIndex(path=data / "llamaindex-10k").run(Context(tmp_path / "given", tmp_path))
    return RetrievalSet.write(tmp_path / "bare", documents=given.documents.values(), queries=[], qrels={})


def trained(made: RetrievalSet) -> list[tuple[str, Document]]:
    return [(made.queries[one.query_id].text, made.documents[one.document_id]) for one in made.qrels("train")]


@pytest.mark.parametrize("stage", GENERATORS, ids=lambda stage: stage.type)
def test_each_keeps_the_contract(stage, towns, tmp_path):
    made = check_stage(stage, tmp_path / "check", data=towns)
    assert made.splits == ("train", "dev", "test")


@pytest.mark.parametrize("stage", GENERATORS, ids=lambda stage: stage.type)
def test_only_training_uses_parts_and_no_search_finds_them(stage, towns, ask):
    made = ask(stage, towns).made
    parts = {id_ for id_, document in made.documents.items() if CUT_FROM in document.metadata}
    assert parts
    assert {one.document_id for split in ("dev", "test") for one in made.qrels(split)} <= set(towns.documents)
    for split in ("train", "dev", "test"):
        assert {one.id for one in made.searched(split)} == {one.id for one in towns.searched(split)}
    for question, document in trained(made):
        whole = towns.documents[document.metadata.get(CUT_FROM, document.id)]
        assert question in " ".join(whole.text.split())


@pytest.mark.parametrize("stage", [Crop(), InverseCloze()], ids=lambda stage: stage.type)
def test_another_passage_changes_no_passages_questions(stage, towns, ask, tmp_path):
    more = [Document.of(text_of("Almere"), split="train"), *towns.documents.values()]
    other = RetrievalSet.write(tmp_path / "more", documents=more, queries=[], qrels={})
    few, many = (ask(stage, data).made for data in (towns, other))
    assert set(trained_texts(few)) < set(trained_texts(many))
    assert set(trained_texts(ask(stage, towns, seed=7).made)) != set(trained_texts(few))


def trained_texts(made):
    return [(question, document.text) for question, document in trained(made)]


def test_questions_of_a_test_are_made_only_where_it_has_none_and_with_a_warning(towns, ask, tmp_path):
    asked = Query.of("Which town has a pier?")
    test = next(document for document in towns.documents.values() if document.metadata["split"] == "test")
    real = RetrievalSet.write(
        tmp_path / "real",
        documents=towns.documents.values(),
        queries=[asked],
        qrels={"test": [Judgement(asked.id, test.id)]},
    )
    ran = ask(InverseCloze(), real)
    assert ran.made.qrels("test") == [Judgement(asked.id, test.id)]
    assert len(ran.warnings) == 1
    assert "4 questions of the dev split are made by 'inverse_cloze'" in ran.warnings[0]
    assert not ask(InverseCloze(splits=["train"]), real).warnings
    assert len(ask(InverseCloze(splits=["test"]), real).made.qrels("test")) == 5


def test_a_passage_that_a_test_asks_about_is_not_trained_on(ask, tmp_path):
    documents = [Document.of(text_of(town)) for town in TOWNS]
    asked = Query.of("Which town has a pier?")
    data = RetrievalSet.write(
        tmp_path / "set", documents=documents, queries=[asked], qrels={"test": [Judgement(asked.id, documents[0].id)]}
    )
    made = ask(Crop(), data).made
    assert all(TOWNS[0] not in document.text for _, document in trained(made))


def test_a_sentence_that_many_passages_hold_is_one_question_with_many_answers(ask, tmp_path):
    same = "Nobody remembers when the last whaler left."
    documents = [Document.of(f"{town} lies by the sea. {same}") for town in TOWNS[:3]]
    data = RetrievalSet.write(tmp_path / "set", documents=documents, queries=[], qrels={})
    made = ask(InverseCloze(min_words=6), data).made
    assert [query.text for query in made.queries.values()] == [same]
    assert len(made.qrels("train")) == 3


def test_inverse_cloze_removes_the_sentence_from_nine_passages_in_ten():
    document = Document.of(" ".join(f"Sentence number {n} tells of the sea." for n in range(2000)))
    pairs = list(InverseCloze(per_passage=1000).pairs(document, random.Random(1)))
    removed = [pair for pair in pairs if pair.part]
    assert len({pair.question for pair in pairs}) == 1000
    assert 870 <= len(removed) <= 930
    assert all(pair.question not in pair.part.text for pair in removed)
    assert all(len(pair.part.text) + len(pair.question) + 1 == len(document.text) for pair in removed)


def test_a_passage_of_one_sentence_has_nothing_to_take_out():
    assert not list(InverseCloze().pairs(Document.of("One sentence of six words only."), random.Random(1)))


def test_crops_are_as_long_as_asked():
    document = Document.of(" ".join(f"word{n}" for n in range(200)), "Title")
    pairs = list(Crop(per_passage=500).pairs(document, random.Random(1)))
    questions = {len(pair.question.split()) for pair in pairs}
    answers = {len(pair.part.text.split()) for pair in pairs}
    assert (min(questions), max(questions)) == (4, 32)
    assert (min(answers), max(answers)) == (10, 100)
    assert {pair.part.title for pair in pairs} == {"Title"}
    papers = Crop(per_passage=500, max_words=None).pairs(document, random.Random(1))
    assert {len(pair.question.split()) for pair in papers} == set(range(10, 101))
    assert all(pair.part is None for pair in Crop(answer="passage").pairs(document, random.Random(1)))


_BOTH = "So it ends.\nIt rose."


@pytest.mark.parametrize(
    ("document", "question", "answer"),
    [
        (Document("1", "It rose.", "Report: Our rates", {"section": "Our rates"}), "Our rates", "It rose."),
        (Document.of("Rates rose.", "Yearly report"), "Yearly report", "Rates rose."),
        (Document.of("Our pier\nIt is long."), "Our pier", "It is long."),
        (Document.of("Our pier is old. It is long."), "Our pier is old.", "It is long."),
        (Document("1", "## Our rates\nIt rose.", "", {"section": "Our rates"}), "Our rates", "It rose."),
        (Document("1", "So it ends.\nOUR RATES\nIt rose.", "", {"section": "Our rates"}), "Our rates", _BOTH),
    ],
)
def test_a_title_is_not_left_in_its_answer(document, question, answer):
    pair = next(Title(headings=["section", "title", "first_line"]).pairs(document, random.Random(1)))
    assert pair.question == question
    assert pair.part.full_text == answer.strip()


def test_a_title_that_many_passages_share_gives_way_to_their_first_lines(towns, ask, tmp_path):
    documents = [Document.of(text_of(town), title="The whole book") for town in TOWNS]
    data = RetrievalSet.write(tmp_path / "set", documents=documents, queries=[], qrels={})
    made = ask(Title(), data).made
    assert {query.text for query in made.queries.values()} == {f"The harbour of {town}" for town in TOWNS}
    few = ask(Title(max_passages=8), data).made
    assert [query.text for query in few.queries.values()] == ["The whole book"]
    assert len(few.qrels("train")) == 8


def test_where_nothing_can_be_asked_the_message_says_why(towns, ask, tmp_path):
    with pytest.raises(DataError, match=r"'title' makes no question of the 4 passages of the train split.*max_words"):
        ask(Title(headings=["first_line"], min_words=9), towns)
    test = [Document.of(text_of(town), split="test") for town in TOWNS]
    data = RetrievalSet.write(tmp_path / "set", documents=test, queries=[], qrels={})
    with pytest.raises(DataError, match="none of the 8 passages belongs to it"):
        ask(Crop(), data)


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        (Crop(min_share=0.6), "min_share"),
        (Crop(min_words=40), "min_words"),
        (InverseCloze(min_words=65), "min_words"),
        (Title(min_words=40), "min_words"),
        (Crop(), None),
    ],
)
def test_bounds_that_leave_nothing_are_faults(stage, fault):
    assert [fault in message for message in stage.faults()] == ([True] if fault else [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The U.S. Government paid. It was $5.3 million.", ["The U.S. Government paid.", "It was $5.3 million."]),
        ("Glued together.As PDFs do.", ["Glued together.", "As PDFs do."]),
        ('He said "Go." They went (slowly).  Then?', ['He said "Go."', "They went (slowly).", "Then?"]),
        ("A heading\n\nText, Inc. is there.", ["A heading", "Text, Inc. is there."]),
        ("第一句。第二句！", ["第一句。", "第二句！"]),  # noqa: RUF001  # Chinese
        ("  \n ", []),
    ],
)
def test_sentences_end_where_a_reader_sees_it(text, found):
    assert [text[begin:end] for begin, end in sentences(text)] == found


def test_chinese_letters_count_as_words():
    assert [len(words(text)) for text in ("two words", "第一句 ok", "")] == [2, 4, 0]


@pytest.mark.parametrize("stage", GENERATORS, ids=lambda stage: stage.type)
def test_real_filings_give_questions(stage, ask, filings):
    ran = ask(stage, filings)
    assert len(ran.made.qrels("train")) > 140
    assert not ran.made.relevant("train").keys() & ran.made.relevant("test").keys()
    assert all(any(letter.isalpha() for letter in query.text) for query in ran.made.queries.values())
