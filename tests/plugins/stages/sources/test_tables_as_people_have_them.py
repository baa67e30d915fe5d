"""Files of rows as spreadsheets, pandas and other data sets write them: read right, or refused with what to do."""

import json
import zipfile

import pytest

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.beir import Beir
from embedrun_plugins.stages.sources.pairs import Pairs


@pytest.fixture
def table(tmp_path):
    """Write a file and return the source of it."""

    def write(name: str, content: str | bytes, **keys) -> Pairs:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Pairs.model_validate({"path": str(path), **keys})

    return write


def fault(source: Pairs) -> str:
    """Return what `check` finds, which reading must find, too."""
    (fault,) = source.faults()
    return fault


def passages(given) -> list[str]:
    return [document.text for document in given.data.documents.values()]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_csv_file_may_be_delimited_by_what_its_first_line_says(read, table, delimiter):
    source = table("faq.csv", f"question{delimiter}answer\nwhat, if any{delimiter}this, or that\n")
    assert list(source.faults()) == []
    assert read(source).texts("train") == {("what, if any", "this, or that", 1.0)}


def test_a_first_line_with_commas_is_delimited_by_them(read, table):
    source = table("faq.csv", "question,answer;note\nwhat,this\n", columns={"positive": "answer;note"})
    assert read(source).texts("train") == {("what", "this", 1.0)}


@pytest.mark.parametrize("name", ["golden.csv", "golden.tsv"])
@pytest.mark.parametrize("cell", ["['One text.', 'Another.']", "['One text.'\n 'Another.']", "[''One text.'', ]"])
def test_lists_in_cells_are_refused(read, table, name, cell):
    delimiter = "\t" if name.endswith("tsv") else ","
    source = table(name, f'question{delimiter}context\nwhat{delimiter}"{cell}"\n')
    assert "column 'context' holds a list written as text in 1 of 1 rows" in fault(source)
    with pytest.raises(DataError, match="save the rows as JSON lines"):
        read(source)


def test_a_cell_that_looks_like_a_list_among_others_is_told(read, table):
    source = table("rows.csv", "question,context\na,\"['x']\"\nb,[1] A note.\nc,Text.\n")
    given = read(source)
    assert passages(given) == ["['x']", "[1] A note.", "Text."]
    assert "1 of 3 rows" in given.warnings[0]


@pytest.mark.parametrize("keys", [{}, {"format": "csv"}, {"format": "jsonl"}])
def test_a_workbook_is_named_as_one(read, tmp_path, keys):
    path = tmp_path / "faq.xlsx"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    source = Pairs.model_validate({"path": str(path), **keys})
    assert "is an Excel workbook" in fault(source)
    with pytest.raises(DataError, match="save it as CSV UTF-8"):
        read(source)


@pytest.mark.parametrize(
    ("start", "says"),
    [(b"\xd0\xcf\x11\xe0", "old Excel workbook"), (b"PAR1", "format: parquet"), (b"%PDF-1.7", "'documents'"),
     (b"\x1f\x8b\x08", "end in .gz")],
)  # fmt: skip
def test_other_files_that_hold_no_lines_are_named(table, start, says):
    assert says in fault(table("rows.csv", start + b" and more \xff"))


QUOTED = 'question\tpassage\nwhat is a tansy\t"A refund" is called one.\nwho\t"The heron" it is.\n'


def test_quotes_that_enclose_nothing_lead_to_the_key_and_are_kept_with_it(read, table):
    assert "set quoting: false" in fault(table("plain.tsv", QUOTED))
    given = read(table("plain.tsv", QUOTED, quoting=False))
    assert passages(given) == ['"A refund" is called one.', '"The heron" it is.']


def test_rows_that_a_quote_swallows_are_refused_with_their_line(read, table):
    text = 'question\tpassage\na\t"The Lamp, a novel.\nb\tA refund.\nc\tThe heron, so to speak"\nd\tKestrel.\n'
    source = table("rows.tsv", text)
    assert "rows.tsv:2: a quote that opens here makes one row of 3 lines" in fault(source)
    assert len(passages(read(table("rows.tsv", text, quoting=False)))) == 4


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.tsv", 'question\tpassage\na\t"One line\nand another."\n'),
        ("rows.csv", 'question,passage\na,"x, y\nb, z"\n'),
    ],
)
def test_a_text_of_several_lines_may_stand_in_quotes(read, table, name, text):
    assert "\n" in passages(read(table(name, text)))[0]


def test_quoting_is_part_of_the_key_only_where_it_is_off(table):
    from embedrun.plan import keyed

    assert "quoting" not in keyed(table("a.csv", "question,answer\na,b\n"))
    assert keyed(table("a.csv", "question,answer\na,b\n", quoting=False))["quoting"] is False


@pytest.mark.parametrize("label", ["label", "is_duplicate"])
def test_a_column_of_labels_that_is_not_used_is_told(read, jsonl, label):
    path = jsonl([{"sentence1": f"a{n}", "sentence2": f"b{n}", label: n % 2} for n in range(4)])
    (warning,) = read(Pairs(path=path)).warnings
    assert f"the column '{label}' is not used" in warning
    assert f"set columns: {{score: {label}}}" in warning
    graded = read(Pairs.model_validate({"path": path, "columns": {"score": label}}))
    assert graded.warnings == []
    assert {score for _, _, score in graded.texts("train")} == {0.0, 1.0}


def test_values_inside_objects_have_names(read, jsonl):
    path = jsonl([{"set": {"query": "what", "pos": ["one", "two"], "more": {"neg": ["three"]}}}])
    assert "columns there are: set, set.query, set.pos, set.more, set.more.neg" in fault(Pairs(path=path))
    named = {"anchor": "set.query", "positive": "set.pos", "negative": "set.more.neg"}
    source = Pairs.model_validate({"path": path, "columns": named})
    assert list(source.faults()) == []
    given = read(source)
    assert given.texts("train") == {("what", "one", 1.0), ("what", "two", 1.0)}
    assert given.negatives() == {("what", "three", 0.0)}
    assert given.notes["columns"]["unused"] == []


def test_values_inside_structures_of_parquet_have_names(read, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "set.parquet"
    parquet.write_table(pa.table({"set": [{"query": "what", "pos": ["one"]}], "n": [1]}), path)
    source = Pairs.model_validate({"path": str(path), "columns": {"anchor": "set.query", "positive": "set.pos"}})
    assert list(source.faults()) == []
    assert read(source).texts("train") == {("what", "one", 1.0)}
    assert "set, n, set.query, set.pos" in fault(Pairs(path=path))


def test_a_rehearsal_reads_values_inside_objects(read, jsonl, tmp_path):
    from embedrun_plugins.stages.sources.rehearsal_rows import first_rows
    from embedrun_plugins.stages.sources.tables import open_table

    rows = [{"set": {"query": f"q{n}", "pos": f"p{n}"}} for n in range(5)]
    source = Pairs.model_validate({"path": jsonl(rows), "columns": {"anchor": "set.query", "positive": "set.pos"}})
    assert first_rows(open_table(jsonl(rows)), source.columns, tmp_path / "few.jsonl") == 5


def test_a_column_that_is_not_there_is_found_before_the_run(jsonl, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"anchor": "question", "positive": "answr"}
    path = jsonl([{"question": "a", "answer": "b"}])
    parquet.write_table(pa.table({"question": ["a"], "answer": ["b"]}), tmp_path / "rows.parquet")
    for file in (path, tmp_path / "rows.parquet", [str(path), str(tmp_path / "rows.parquet")]):
        source = Pairs.model_validate({"path": file if isinstance(file, list) else str(file), "columns": columns})
        assert "no column 'answr' for columns.positive; did you mean 'answer'?" in fault(source)


def test_a_value_that_is_no_text_is_found_before_the_run(jsonl):
    source = Pairs(path=jsonl([{"question": "a", "answer": {"text": "b"}}]))
    assert "column 'answer' must hold text, not an object" in fault(source)


@pytest.fixture
def beir(tmp_path):
    """Write a folder in BEIR layout with these files of judgements."""

    def write(**qrels: list[dict] | str) -> Beir:
        texts = {"corpus": ["d1", "d2"], "queries": ["q1", "q2"]}
        for name, ids in texts.items():
            lines = (json.dumps({"_id": id_, "text": f"text of {id_}"}) + "\n" for id_ in ids)
            (tmp_path / f"{name}.jsonl").write_text("".join(lines))
        (tmp_path / "qrels").mkdir()
        for name, rows in qrels.items():
            text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
            kind = "tsv" if isinstance(rows, str) else "jsonl"
            (tmp_path / "qrels" / f"{name}.{kind}").write_text(text)
        return Beir(path=tmp_path)

    return write


def judged(query: str, document: str, score: object = 1.0) -> dict:
    return {"query-id": query, "corpus-id": document, "score": score}


def test_judgements_may_be_json_lines_beside_tsv(read, beir):
    source = beir(test=[judged("q1", "d1"), judged("q2", "d2", 0)], train="q1\td2\t1\n")
    assert source.splits_given() == {"train", "test"}
    given = read(source)
    assert given.texts("test") == {("text of q1", "text of d1", 1.0), ("text of q2", "text of d2", 0.0)}
    assert given.texts("train") == {("text of q1", "text of d2", 1.0)}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"query-id": "q1", "score": 1}], "test.jsonl:1: must be an object with query-id, corpus-id and score"),
        ([judged("q1", "d1"), judged("q1", "d2", "high")], "test.jsonl:2: the score must be a finite number"),
        ("q1\t0\td1\t1\n", "of TREC's four fields, leave out the second"),
    ],
)
def test_judgements_that_cannot_be_read_are_named(read, beir, rows, says):
    with pytest.raises(DataError, match=says):
        read(beir(test=rows))


def test_a_file_of_judgements_without_a_split_is_asked_for(read, beir):
    source = beir(answers=[judged("q1", "d1")])
    with pytest.raises(DataError, match="which file is which split"):
        read(source)
    named = source.model_copy(update={"splits": {"test": "answers"}})
    assert read(named).texts("test") == {("text of q1", "text of d1", 1.0)}
