import json

import pytest

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.llama_index import LlamaIndex

TRAIN = {
    "corpus": {"c1": "one", "c2": "two", "c3": " "},
    "queries": {"q1": "first?", "q2": "second?", "q3": ""},
    "relevant_docs": {"q1": ["c1"], "q2": ["c2", "c3"], "q3": ["c1"]},
}
VAL = {"corpus": {"v1": "three"}, "queries": {"w1": "third?"}, "relevant_docs": {"w1": ["v1"]}}


@pytest.fixture
def folder(tmp_path):
    def write(train=TRAIN, val=VAL):
        path = tmp_path / "set"
        path.mkdir(exist_ok=True)
        (path / "val.json").write_text(json.dumps({**val, "mode": "text"}))
        for part, value in train.items():
            (path / f"train_{part}.json").write_text(json.dumps(value))
        return LlamaIndex.model_validate({"path": str(path)})

    return write


def test_one_file_or_three_files_are_read_and_empty_texts_dropped(folder, read):
    source = folder()
    assert [path.name for path in source.inputs()] == [
        "train_corpus.json", "train_queries.json", "train_relevant_docs.json", "val.json",
    ]  # fmt: skip
    given = read(source)
    assert given.texts("train") == {("first?", "one", 1.0), ("second?", "two", 1.0)}
    assert given.texts("test") == {("third?", "three", 1.0)}
    assert given.notes["dropped"] == 4


def test_questions_search_the_chunks_of_their_own_split(folder, read):
    data = read(folder()).data
    assert [document.id for document in data.searched("train")] == ["c1", "c2"]
    assert [document.id for document in data.searched("test")] == ["v1"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"relevant_docs": {"q1": ["c9"]}}, "train_relevant_docs.json: relevant_docs names a chunk 'c9'"),
        ({"relevant_docs": {"q9": ["c1"]}}, "names a question 'q9'"),
        ({"relevant_docs": {"q1": "c1"}}, "'q1' must be a list"),
        ({"corpus": {"c1": 5}}, "train_corpus.json: 'c1' must be text"),
        ({"corpus": {"c 1": "x"}}, "has white space"),
        ({"queries": ["a"]}, "train_queries.json: must hold a JSON object"),
        ({"corpus": {**TRAIN["corpus"], "v1": "another text"}}, "val.json: the id 'v1' stands for two texts"),
        ({"relevant_docs": {}}, "train_relevant_docs.json: must hold a JSON object"),
        ({"relevant_docs": {"q1": [["c1"]]}}, "must be a list of the corpus's ids"),
    ],
)
def test_a_bad_set_gives_one_message(folder, read, change, says):
    with pytest.raises(DataError, match=says):
        read(folder(train={**TRAIN, **change}))


def test_the_filings_give_the_known_figures(read, shared):
    given = read(LlamaIndex.model_validate({"path": str(shared / "llamaindex-10k"), "holdout": {"dev": 0.1}}))
    assert (len(given.data.searched("train")), len(given.data.searched("test"))) == (334, 395)
    assert given.notes["test_queries"] == 790
    assert given.notes["train_queries"] + given.notes["dev_queries"] == 668
    assert given.notes["dev_leaks"]["passages_trained_on"] == 0
