import gzip
import json
import shutil

import pytest

from embedrun.context import Resolver
from embedrun.errors import DataError
from embedrun.hashing import folder_files
from embedrun_plugins.stages.sources.beir import Beir
from embedrun_plugins.stages.sources.pairs import Pairs

CORPUS = '{"_id": "d1", "title": "T", "text": "one"}\n{"_id": "d2", "text": "two", "metadata": {"a": 1}}\n'
QUERIES = '{"_id": "q1", "text": "first"}\n{"_id": "q2", "text": "second"}\n{"_id": "q3", "text": "unjudged"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td2\t0.5\n"
GOOD = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/test.tsv": QRELS}


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        path = tmp_path / "set"
        shutil.rmtree(path, ignore_errors=True)
        for name, content in {**GOOD, **files}.items():
            if content is not None:
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def beir(path, **fields):
    return Beir.model_validate({"path": str(path), **fields})


def test_ids_texts_and_scores_are_kept_as_given(folder, read):
    source = beir(folder())
    assert source.splits_given() == {"test"}
    given = read(source)
    assert given.data.qrels("test") == [*given.data.qrels("test")]
    assert given.texts("test") == {("first", "one", 2.0), ("second", "two", 0.5)}
    assert list(given.data.queries) == ["q1", "q2", "q3"]
    assert given.data.documents["d1"].full_text == "T one"
    assert given.data.documents["d2"].metadata == {"a": 1}


@pytest.mark.parametrize(
    "files",
    [
        {"qrels/test.tsv": QRELS.partition("\n")[2]},
        {"qrels/test.tsv": "\ufeff" + QRELS.replace("\n", "\r\n")},
        {"qrels/test.tsv": QRELS + "q1\td1\t2\n\n"},
        {"corpus.jsonl": None, "corpus.jsonl.gz": gzip.compress(CORPUS.encode())},
        {"corpus.jsonl": CORPUS + CORPUS},
    ],
    ids=["no header", "windows", "line twice", "packed", "document twice"],
)
def test_harmless_differences_give_the_same_set(folder, read, files):
    expected = read(beir(folder()))
    given = read(beir(folder(**files)))
    assert given.texts("test") == expected.texts("test")
    assert given.data.documents == expected.data.documents


def test_other_names_of_splits_are_known_or_can_be_given(folder, read):
    path = folder(**{"qrels/validation.tsv": QRELS, "qrels/test_with_source.tsv": QRELS})
    resolved = beir(path).resolve(Resolver())
    assert resolved.splits == {"dev": "validation", "test": "test"}
    assert resolved == resolved.resolve(Resolver())
    assert beir(path, splits={"train": "test_with_source"}).splits_given() == {"train"}
    assert read(beir(path, splits={"train": "test_with_source"})).data.splits == ("train",)


def test_the_only_split_is_divided_by_a_holdout(read, tmp_path, folder):
    corpus = "".join(json.dumps({"_id": f"d{i}", "text": f"text {i}"}) + "\n" for i in range(40))
    queries = "".join(json.dumps({"_id": f"q{i}", "text": f"query {i}"}) + "\n" for i in range(40))
    qrels = "".join(f"q{i}\td{i}\t1\nq{i}\td{i // 2 * 2}\t1\n" for i in range(40))
    path = folder(**{"corpus.jsonl": corpus, "queries.jsonl": queries, "qrels/test.tsv": qrels})
    source = beir(path, holdout=0.25)
    assert source.splits_given() == {"train", "test"}
    assert source.columns_given() == {"positive"}
    given = read(source)
    assert given.notes["test_queries"] == 10
    assert given.notes["test_leaks"]["passages_trained_on"] == 0
    by_row = read(beir(path, holdout={"test": 10, "by": "row"}))
    assert by_row.notes["test_queries"] == 10
    assert by_row.notes["test_leaks"]["passages_trained_on"] > 0


def test_a_set_made_by_another_source_comes_back_the_same(jsonl, read):
    rows = [{"query": f"q{i}", "pos": [f"p{i}", f"r{i // 2}"], "neg": [f"n{i}", "n"]} for i in range(30)]
    first = read(Pairs.model_validate({"path": jsonl(rows), "holdout": 0.2}))
    source = beir(first.data.path)
    assert source.columns_given() == {"positive", "negative"}
    second = read(source)
    for name, path in folder_files(first.data.path).items():
        assert (second.data.path / name).read_bytes() == path.read_bytes()


def test_equal_passages_keep_their_ids_and_what_it_costs_is_noted(folder, read):
    given = read(beir(folder(**{"corpus.jsonl": CORPUS + '{"_id": "d3", "text": "two"}\n'})))
    assert given.notes["documents"] == 3
    assert given.notes["test_leaks"]["best_ndcg@10"] == pytest.approx((1 + 0.8155) / 2, abs=1e-3)


def test_empty_texts_are_counted(folder, read):
    files = {
        "corpus.jsonl": CORPUS + '{"_id": "d3", "title": "", "text": ""}\n',
        "queries.jsonl": QUERIES + '{"_id": "q4", "text": " "}\n',
        "qrels/test.tsv": QRELS + "q4\td1\t1\n",
    }
    given = read(beir(folder(**files)))
    assert given.notes["empty_documents"] == 1
    assert given.notes["empty_queries_dropped"] == 1
    assert given.notes["judgements_dropped"] == 1
    assert "q4" not in given.data.queries


def test_unknown_ids_can_be_dropped(folder, read):
    given = read(beir(folder(**{"qrels/test.tsv": QRELS + "q1\td9\t1\n"}), unknown_ids="drop"))
    assert given.notes["judgements_dropped"] == 1
    assert len(given.texts("test")) == 2


def test_a_folder_without_judgements_is_a_corpus(folder, read):
    source = beir(folder(**{"qrels/test.tsv": None, "queries.jsonl": None}))
    assert source.columns_given() == frozenset()
    assert source.splits_given() == frozenset()
    assert len(read(source).data.documents) == 2


BAD = [
    ({"corpus.jsonl": None}, "corpus.jsonl: no such file", {}),
    ({"queries.jsonl": None}, "queries.jsonl: no such file", {}),
    ({"corpus.jsonl": ""}, "corpus.jsonl: holds no documents", {}),
    ({"queries.jsonl": '{"_id": "q1", "text": ""}\n'}, "holds no queries with text", {}),
    ({"corpus.jsonl": CORPUS + '{"_id": "d1", "text": "other"}'}, r"corpus.jsonl:3 .*id 'd1' stands for two texts", {}),
    ({"queries.jsonl": QUERIES + '{"_id": "q1", "text": "x"}'}, r"queries.jsonl:4 .*'q1' stands for two texts", {}),
    ({"corpus.jsonl": CORPUS + '{"id": "d3", "text": "x"}'}, r"corpus.jsonl:3 .*needs an '_id'.*did you|allowed", {}),
    ({"corpus.jsonl": CORPUS + '{"_id": "d 3", "text": "x"}'}, r"corpus.jsonl:3 .*has white space", {}),
    ({"corpus.jsonl": CORPUS + '{"_id": "d3", "text": 5}'}, r"corpus.jsonl:3 .*'text' must hold text", {}),
    ({"corpus.jsonl": CORPUS + '{"_id": "d3", "metadata": 5}'}, r"corpus.jsonl:3 .*must be an object", {}),
    ({"corpus.jsonl": CORPUS + "{"}, r"corpus.jsonl:3:2: not JSON", {}),
    ({"corpus.jsonl": CORPUS.encode() + b"\xff"}, r"corpus.jsonl:3: not UTF-8", {}),
    ({"qrels/test.tsv": QRELS + "q1\td9\t1\n"}, r"test.tsv:4: there is no document 'd9'.*unknown_ids: drop", {}),
    ({"qrels/test.tsv": QRELS + "q9\td1\t1\n"}, r"test.tsv:4: there is no query 'q9'", {}),
    ({"qrels/test.tsv": QRELS + "q1 0 d1 1\n"}, r"test.tsv:4: has 1 fields", {}),
    ({"qrels/test.tsv": QRELS + "q1\td1\tgood\n"}, r"test.tsv:4: the score must be a number, not 'good'", {}),
    ({"qrels/test.tsv": QRELS + "q1\td1\tnan\n"}, r"test.tsv:4: the score must be a finite number", {}),
    ({"qrels/test.tsv": "query-id\tcorpus-id\tscore\n"}, r"test.tsv: holds no judgement", {}),
    ({"qrels/test.tsv": "q1\td1\t0\n"}, r"no pair of the test split has a score above 0", {}),
    ({"qrels/test.tsv": None, "qrels/gold.tsv": QRELS}, r"which file is which split\?.*there are: gold", {}),
    ({}, r"splits.test: .*tst.tsv: no such file; did you mean 'test'", {"splits": {"test": "tst"}}),
]


@pytest.mark.parametrize(("files", "says", "fields"), BAD)
def test_a_bad_folder_gives_one_message_that_says_where_and_what(folder, read, files, says, fields):
    with pytest.raises(DataError, match=says) as caught:
        read(beir(folder(**files), **fields))
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path, read):
    with pytest.raises(DataError, match="no such folder"):
        read(beir(tmp_path / "none"))


def test_cranfield_keeps_its_ids_and_judgements(read, shared):
    given = read(beir(shared / "cranfield"))
    assert (len(given.data.documents), len(given.data.queries)) == (1400, 225)
    ours, theirs = given.data.path / "qrels/test.tsv", shared / "cranfield/qrels/test.tsv"
    assert ours.read_bytes() == theirs.read_bytes()
