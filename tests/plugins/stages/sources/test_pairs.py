import datetime as dt
import gzip
import hashlib
import json

import jsonschema
import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from embedrun.artifacts import RetrievalSet
from embedrun.context import Resolver
from embedrun.hashing import folder_files
from embedrun_plugins.stages.sources import tables
from embedrun_plugins.stages.sources.pairs import Pairs

ROWS = [
    {"anchor": "What is it?", "positive": "A thing."},
    {"anchor": "Who is it?", "positive": "A person."},
    {"anchor": "Where is it?", "positive": "A place."},
]
KINDS = ("a.csv", "b.tsv", "c.jsonl", "d.json", "e.json", "f.json", "g.csv", "h.jsonl", "i.json", "j.csv", "k.parquet")
PACKED = ("a.csv.gz", "c.jsonl.gz", "d.json.gz")
EXPECTED = {(row["anchor"], row["positive"], 1.0) for row in ROWS}


def pairs(**fields):
    return Pairs.model_validate(fields)


def contents(data: RetrievalSet) -> dict[str, str]:
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in folder_files(data.path).items()}


def written(folder, kind):
    table = "anchor,positive\n" + "".join(f"{r['anchor']},{r['positive']}\n" for r in ROWS)
    lines = "".join(json.dumps(r) + "\n" for r in ROWS)
    texts = {
        "a.csv": table,
        "b.tsv": table.replace(",", "\t"),
        "c.jsonl": lines,
        "d.json": json.dumps(ROWS, indent=4),
        "e.json": lines,
        "f.json": json.dumps({"version": "1", "data": ROWS}),
        "g.csv": "\ufeff" + table.replace("\n", "\r\n"),
        "h.jsonl": "\ufeff" + lines.replace("\n", "\r\n") + "\n\n",
        "i.json": "\ufeff " + json.dumps(ROWS),
        "j.csv": table.replace("anchor,positive", " anchor , positive").replace("A thing.", '"A thing."'),
    }
    path = folder / kind
    if kind.endswith(".gz"):
        path.write_bytes(gzip.compress(texts[kind.removesuffix(".gz")].encode()))
    elif kind.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_bytes(texts[kind].encode())
    return path


@pytest.mark.parametrize("kind", [*KINDS, *PACKED])
def test_every_format_gives_the_same_set(tmp_path, read, jsonl, kind):
    given = read(pairs(path=written(tmp_path, kind)))
    assert given.texts("train") == EXPECTED
    assert contents(given.data) == contents(read(pairs(path=jsonl(ROWS, "plain.jsonl"))).data)


def test_a_field_may_hold_quotes_commas_and_line_breaks(tmp_path, read):
    path = tmp_path / "rows.csv"
    path.write_text('question,context\n"a ""b"", c","one\ntwo"\n"x",y\n', "utf-8")
    assert read(pairs(path=path)).texts("train") == {('a "b", c', "one\ntwo", 1.0), ("x", "y", 1.0)}


def test_a_delimiter_can_be_named(tmp_path, read):
    path = tmp_path / "rows.csv"
    path.write_text("question;context\na, b;c\n", "utf-8")
    assert read(pairs(path=path, delimiter=";")).texts("train") == {("a, b", "c", 1.0)}


def test_unusual_texts_pass_unharmed(read, jsonl):
    long, emoji, hebrew = "x" * 100_000 + " end", "👩🏽‍🚀 family 👨‍👩‍👧", "שלום, עולם \u202e!"
    rows = [{"anchor": emoji, "positive": long}, {"anchor": hebrew, "positive": "a\u2028b\x85c\ttab \x00 null"}]
    expected = {(row["anchor"], row["positive"], 1.0) for row in rows}
    assert read(pairs(path=jsonl(rows))).texts("train") == expected


def test_a_csv_field_may_be_longer_than_pythons_own_limit(tmp_path, read):
    path = tmp_path / "rows.csv"
    path.write_text(f"question,context\na,{'x' * 200_000}\n", "utf-8")
    [(_, text, _)] = read(pairs(path=path)).texts("train")
    assert len(text) == 200_000


def test_rows_with_an_empty_side_are_dropped_and_counted(read, jsonl):
    rows = [*ROWS, {"anchor": " \n", "positive": "a"}, {"anchor": "b", "positive": None}, {"anchor": "c"}]
    given = read(pairs(path=jsonl(rows)))
    assert given.texts("train") == EXPECTED
    assert given.notes["rows_read"] == 6
    assert given.notes["rows_dropped"] == 3
    assert given.notes["rows_dropped_first"] == ["rows.jsonl:3", "rows.jsonl:4", "rows.jsonl:5"]


def test_equal_texts_become_one_document_and_one_query(read, jsonl):
    rows = [{"anchor": q, "positive": p} for q, p in [("a", "X"), ("b", " X\n"), ("a", "Y"), ("a", "X")]]
    given = read(pairs(path=jsonl(rows)))
    assert [d.text for d in given.data.documents.values()] == ["X", "Y"]
    assert [q.text for q in given.data.queries.values()] == ["a", "b"]
    assert given.texts("train") == {("a", "X", 1.0), ("b", "X", 1.0), ("a", "Y", 1.0)}
    assert given.notes["duplicate_pairs_merged"] == 1


def test_a_guess_is_told_with_what_is_left_over(read, jsonl):
    given = read(pairs(path=jsonl([{"Question": "a", "context": "b", "page": 3}])))
    used = {"anchor": "Question", "positive": "context"}
    assert given.notes["columns"] == {"used": used, "guessed": ["anchor", "positive"], "unused": ["page"]}
    assert given.notes["columns_guessed"] == "anchor Question, positive context"


def test_the_order_of_columns_does_not_matter(read, jsonl):
    first = read(pairs(path=jsonl([{"anchor": "a", "positive": "b"}], "1.jsonl")))
    second = read(pairs(path=jsonl([{"positive": "b", "anchor": "a"}], "2.jsonl")))
    assert contents(first.data) == contents(second.data)


def test_named_columns_are_taken_and_no_others(read, jsonl):
    rows = [{"answer": "p", "question": "q", "neg": "n", "score": 0.5, "ticker": "NV", "year": 2023}]
    columns = {"anchor": "question", "positive": "answer", "metadata": ["ticker", "year"]}
    given = read(pairs(path=jsonl(rows), columns=columns))
    assert given.texts("train") == {("q", "p", 1.0)}
    assert given.negatives() == set()
    [document] = given.data.documents.values()
    assert document.metadata == {"ticker": "NV", "year": 2023}


def test_metadata_may_be_called_title_and_hold_what_json_does_not_know(tmp_path, read):
    path = tmp_path / "rows.parquet"
    rows = [{"anchor": "a", "positive": "b", "title": "t", "day": dt.date(2024, 1, 2), "x": float("nan")}]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    columns = {"anchor": "anchor", "positive": "positive", "metadata": ["title", "day", "x"]}
    [document] = read(pairs(path=path, columns=columns)).data.documents.values()
    assert document.metadata == {"title": "t", "day": "2024-01-02", "x": None}


def test_titles_are_part_of_a_document(read, jsonl):
    rows = [{"q": "a", "p": "text", "t": "One"}, {"q": "b", "p": "text", "t": "Two"}, {"q": "c", "p": "text"}]
    given = read(pairs(path=jsonl(rows), columns={"anchor": "q", "positive": "p", "title": "t"}))
    assert [(d.title, d.text) for d in given.data.documents.values()] == [
        ("One", "text"),
        ("Two", "text"),
        ("", "text"),
    ]


def test_scores_grade_the_pairs_and_the_highest_wins(read, jsonl):
    rows = [("a", "b", 0.25), ("c", "d", 1), ("e", "f", 0.0), ("a", "b", "0.75")]
    source = pairs(path=jsonl({"sentence1": a, "sentence2": b, "score": s} for a, b, s in rows))
    given = read(source)
    assert given.texts("train") == {("a", "b", 0.75), ("c", "d", 1.0), ("e", "f", 0.0)}
    assert given.notes["score_range"] == [0.0, 1.0]
    assert len(given.warnings) == 1
    assert source.columns_given() == {"positive", "score"}


def test_flag_embeddings_files_are_read_as_they_are(read, jsonl):
    rows = [
        {"query": "a", "pos": ["p", "P"], "neg": ["n", "m", "p", ""], "prompt": "Find: "},
        {"query": "b", "pos": ["r"], "neg": ["n"], "prompt": "Find: "},
    ]
    source = pairs(path=jsonl(rows))
    assert source.columns_given() == {"positive", "negative"}
    given = read(source)
    assert given.texts("train") == {("a", "p", 1.0), ("a", "P", 1.0), ("b", "r", 1.0)}
    assert given.negatives() == {("a", "n", 0.0), ("a", "m", 0.0), ("b", "n", 0.0)}
    assert given.notes["negatives_dropped_as_relevant"] == 1
    assert "prompt" in given.warnings[0]


def test_a_teachers_scores_stand_beside_positives_and_negatives(read, jsonl):
    rows = [{"query": "a", "pos": ["p"], "neg": ["n", "m"], "pos_scores": [9.5], "neg_scores": [1.5, -2]}]
    source = pairs(path=jsonl(rows))
    assert source.columns_given() == {"positive", "negative", "teacher_score"}
    given = read(source)
    assert given.texts("train") == {("a", "p", 9.5)}
    assert given.negatives() == {("a", "n", 1.5), ("a", "m", -2.0)}


def test_a_teachers_scores_do_not_grade_a_test(read, jsonl):
    rows = [
        {"query": f"q{i}", "pos": [f"p{i}"], "neg": ["n"], "pos_scores": [5.0], "neg_scores": [1.0]} for i in range(10)
    ]
    given = read(pairs(path=jsonl(rows), holdout=2))
    assert {score for _, _, score in given.texts("test")} == {1.0}
    assert {score for _, _, score in given.texts("train")} == {5.0}


def test_numbered_negatives_are_found(read, jsonl):
    rows = [{"anchor": "a", "positive": "p", "negative_1": "n", "negative_2": "m"}]
    assert read(pairs(path=jsonl(rows))).negatives() == {("a", "n", 0.0), ("a", "m", 0.0)}


def test_a_negative_that_a_test_asks_about_is_not_trained_on(read, jsonl):
    rows = [{"anchor": f"q{i}", "positive": f"p{i}", "negative": f"p{(i + 1) % 20}"} for i in range(20)]
    given = read(pairs(path=jsonl(rows), holdout=5))
    tested = {text for _, text, _ in given.texts("test")}
    assert given.notes["negatives_dropped_as_held_out"] > 0
    assert not tested & {text for _, text, _ in given.negatives()}
    assert {query for query, _, _ in given.negatives()} <= {query for query, _, _ in given.texts("train")}


def test_files_can_be_given_by_split(read, jsonl):
    a, b = jsonl(ROWS[:2], "a.jsonl"), jsonl(ROWS[2:], "b.jsonl")
    source = pairs(path={"test": str(b), "train": [str(a)]})
    assert source.split == ("train", "test")
    assert source.splits_given() == {"train", "test"}
    assert list(source.inputs()) == [a, b]
    given = read(source)
    assert len(given.texts("train")) == 2
    assert len(given.texts("test")) == 1
    again = Pairs.model_validate(json.loads(json.dumps(source.model_dump(mode="json"))))
    assert again == source


def test_files_by_split_that_share_texts_are_reported_as_a_leak(read, jsonl):
    given = read(pairs(path={"train": jsonl(ROWS, "a.jsonl"), "test": jsonl(ROWS[:1], "b.jsonl")}))
    assert given.notes["test_leaks"]["passages_trained_on"] == 1
    assert given.notes["test_leaks"]["queries_trained_on"] == 1
    assert "1 of its 1 passages (100.0%)" in given.warnings[0]


def test_a_whole_file_can_be_a_test(read, jsonl):
    source = pairs(path=jsonl(ROWS), split="test")
    assert source.splits_given() == {"test"}
    assert read(source).texts("test") == EXPECTED


def test_the_format_is_fixed_when_resolved(jsonl):
    assert pairs(path=jsonl(ROWS)).resolve(Resolver()).format == "jsonl"


def test_formats_that_differ_are_told_apart_when_resolved(tmp_path, read):
    files = [written(tmp_path, name) for name in ("a.csv", "b.tsv", "c.jsonl")]
    assert pairs(path=[files[0], files[2]]).resolve(Resolver()).format == ("csv", "jsonl")
    assert pairs(path=[files[1], files[2]]).resolve(Resolver()).format == ("tsv", "jsonl")
    by_split = pairs(path={"test": files[0], "train": files[2]}).resolve(Resolver())
    assert by_split.format == ("jsonl", "csv")
    assert read(by_split).texts("test") == read(by_split).texts("train") == EXPECTED
    (fault,) = pairs(path=files[:2], format=["csv"]).faults()
    assert fault == "format: names 1 formats for 2 files"


def test_columns_that_cannot_be_decided_are_a_fault_before_anything_runs(tmp_path, jsonl):
    (fault,) = pairs(path=jsonl([{"one": "a", "two": "b"}])).faults()
    assert "which column is the anchor" in fault
    (fault,) = pairs(path=written(tmp_path, "c.jsonl"), columns={"anchor": "absent"}).faults()
    assert "no column 'absent'" in fault
    assert list(pairs(path=tmp_path / "missing.jsonl").faults()) == []


def test_a_file_is_looked_at_once(jsonl, monkeypatch):
    opened = []
    real = tables.open_table
    monkeypatch.setattr(
        "embedrun_plugins.stages.sources.pairs.open_table", lambda *a, **k: opened.append(a) or real(*a, **k)
    )
    source = pairs(path=jsonl(ROWS))
    assert list(source.faults()) == []
    assert source.columns_given() == {"positive"}
    assert source.resolve(Resolver()).columns_given() == {"positive"}
    assert len(opened) == 1


def test_columns_are_looked_at_before_anything_is_loaded(jsonl, tmp_path):
    assert pairs(path=jsonl(ROWS)).columns_given() == {"positive"}
    assert "negative" in pairs(path=tmp_path / "missing.jsonl").columns_given()
    assert pairs(path=written(tmp_path, "k.parquet")).columns_given() == {"positive"}


def test_two_runs_write_the_same_bytes(read, jsonl):
    source = pairs(path=jsonl({"anchor": f"q{i}", "positive": f"p{i // 2}"} for i in range(50)), holdout=0.2)
    assert contents(read(source).data) == contents(read(source).data)
    assert contents(read(source).data) != contents(read(source, seed=7).data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": []}, "must be a file, a list of files"),
        ({"path": 12}, "must be a file, a list of files"),
        ({"path": ""}, "must be a file, a list of files"),
        ({"path": {"tran": "a.csv"}}, "there is no split 'tran'"),
        ({"path": {"train": "a.csv"}, "split": ["test"]}, "leave 'split' out"),
        ({"path": "a.csv", "holdout": 1.0}, "1.0 would hold everything out"),
        ({"path": "a.csv", "holdout": -3}, "a share between 0 and 1"),
        ({"path": "a.csv", "holdout": 1.5}, "a share between 0 and 1"),
        ({"path": "a.csv", "holdout": {"test": True}}, "a share between 0 and 1"),
        ({"path": "a.csv", "holdout": {"test": float("nan")}}, "a share between 0 and 1"),
        ({"path": "a.csv", "delimiter": ";;"}, "pattern"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        pairs(**fields)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"holdout": {"by": "row"}}, "holds nothing out"),
        ({"holdout": {"test": 0.5, "dev": 0.5}}, "leave nothing to train on"),
        ({"holdout": 0.1, "split": "test"}, "takes from the train split, but the data is all test"),
        ({"holdout": 0.1, "path": {"train": "a.csv", "test": "b.csv"}}, "brings a test split already"),
        ({"split": ["train", "test"]}, "names 2 splits for 1 files"),
        ({"columns": {"anchor": "a", "positive": "a"}}, "'a' plays two roles"),
        ({"columns": {"score": "s", "positive_score": "t", "negative_score": "u"}}, "name one or the other"),
        ({"columns": {"positive_score": "t"}}, "are needed together"),
        ({"columns": {"negative": ["a", "b"], "positive_score": "t", "negative_score": "u"}}, "a column for each"),
        ({"columns": {"title": "t", "negative": "n"}}, "'title' cannot be used with 'negative'"),
        ({"columns": {"metadata": ["split"]}}, "cannot be named 'split'"),
    ],
)
def test_what_cannot_work_is_a_fault_before_anything_is_read(fields, fault):
    assert any(fault in found for found in pairs(**{"path": "a.csv", **fields}).faults())


def test_the_schema_for_editors_knows_the_short_forms():
    short = {"type": "pairs", "path": "a.csv", "holdout": 0.1, "columns": {"negative": "n"}}
    long = {"path": {"train": ["a", "b"]}, "holdout": {"test": 5, "dev": 0.1}, "columns": {"negative": ["n"]}}
    for fields in (short, long):
        pairs(**fields)
        jsonschema.validate(fields, Pairs.model_json_schema())


def test_the_financial_questions_give_the_known_figures(read, shared):
    source = pairs(
        path=shared / "financial-qa-10k/Financial-QA-10k.csv",
        columns={"anchor": "question", "positive": "context"},
        holdout={"test": 700, "by": "row"},
    )
    given = read(source)
    assert given.notes["rows_read"] == 7000
    assert given.notes["rows_dropped_first"] == ["Financial-QA-10k.csv:1733", "Financial-QA-10k.csv:2731"]
    assert given.notes["documents"] == 6755
    assert given.notes["test_leaks"]["best_ndcg@10_unmerged"] < given.notes["test_leaks"]["best_ndcg@10"] < 1
    assert given.notes["test_best_ndcg@10_unmerged"] == given.notes["test_leaks"]["best_ndcg@10_unmerged"]
    assert 0.04 < given.notes["test_leaks"]["passages_trained_on"] / given.notes["test_leaks"]["passages"] < 0.06


def test_the_frequent_questions_need_no_settings(read, shared):
    given = read(pairs(path=shared / "bedrock-faqs/training.json", holdout=0.2))
    assert (given.notes["train_queries"], given.notes["test_queries"]) == (68, 17)
