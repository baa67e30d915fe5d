import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.opened_files import lines
from embedrun_plugins.stages.sources.pairs import Pairs


@dataclass(frozen=True)
class Case:
    """A file and what is said about it."""

    name: str
    file: str
    content: bytes | str | Callable[[Path], None] | None
    says: tuple[str, ...]
    fields: dict[str, Any]


def case(name, file, content, *says, **fields):
    return pytest.param(Case(name, file, content, says, fields), id=name)


HEAD = '{"anchor": "a", "positive": "b"}\n'
SCORED = {"columns": {"anchor": "a", "positive": "p", "score": "s"}}
TAUGHT = {"columns": {"anchor": "a", "positive": "p", "negative": "n", "positive_score": "s", "negative_score": "t"}}


def parquet_of(rows: list[dict[str, Any]]) -> Callable[[Path], None]:
    return lambda path: parquet.write_table(pa.Table.from_pylist(rows), path)


CASES = [
    case("missing file", "rows.jsonl", None, "rows.jsonl: no such file"),
    case("missing file with a near one", "rows.csv", None, "did you mean", "rows2.csv", beside="rows2.csv"),
    case("missing folder", "no/rows.csv", None, "there is no folder"),
    case("folder", "rows.csv", Path.mkdir, "is a folder; name the file in it"),
    case("unknown format", "rows.txt", "a\n", "what format is this", "csv", "parquet"),
    case("empty csv", "rows.csv", "", "is empty; the first line must name the columns"),
    case("empty jsonl", "rows.jsonl", "", "holds no rows"),
    case("empty json", "rows.json", "", "holds no rows"),
    case("empty list", "rows.json", "[]", "holds no rows"),
    case("csv with a header only", "rows.csv", "question,context\n", "no row can be used"),
    case("nothing usable", "rows.jsonl", '{"anchor": "", "positive": "b"}\n', "none has text in both"),
    case(
        "invalid UTF-8 in jsonl", "rows.jsonl",
        HEAD.encode() + b'{"anchor": "\xff"}', "rows.jsonl:2: not UTF-8", "0xff",
    ),
    case("invalid UTF-8 in json", "rows.json", b'[\n{"anchor": "\xe9"}]', "rows.json:2: not UTF-8 (byte 14"),
    case("invalid UTF-8 in csv", "rows.csv", b"question,context\na,b\nc,\xe9t\xe9\n", "rows.csv:3: not UTF-8"),
    case("UTF-16", "rows.csv", "question,context\na,b\n".encode("utf-16"), "is UTF-16, not UTF-8"),
    case(
        "lone surrogate", "rows.jsonl",
        HEAD + r'{"anchor": "x\ud800", "positive": "b"}', ":2 (row 1)", "half a character",
    ),
    case("broken JSON line", "rows.jsonl", HEAD + '{"anchor": "a",', "rows.jsonl:2:16: not JSON"),
    case("broken JSON list", "rows.json", '[\n{"anchor": "a"}\n{"anchor": "b"}]', "rows.json:3:1", "',' between"),
    case("cut JSON list", "rows.json", '[{"anchor": "a", "positive": "b"}', "is the file cut off?"),
    case(
        "comma at the end of a list", "rows.json",
        '[{"anchor": "a", "positive": "b"},]', "a comma before the list's end",
    ),
    case("text after the list", "rows.json", '[{"anchor": "a", "positive": "b"}] x', "more text after"),
    case("list of lists", "rows.json", '[["a", "b"]]', "row 0", "is not a JSON object"),
    case("line with a list", "rows.jsonl", HEAD + '["a", "b"]', "rows.jsonl:2 (row 1)", "is not a JSON object"),
    case("deep JSON", "rows.jsonl", "[" * 100_000, "rows.jsonl:1", "not usable JSON"),
    case("endless number", "rows.jsonl", '{"anchor": ' + "1" * 5000 + "}", "rows.jsonl:1", "not usable JSON"),
    case("ragged csv", "rows.csv", "question,context\na,b\nc,d,e\n", "rows.csv:3 (row 1)", "3 fields", "names 2"),
    case("short csv row", "rows.csv", "question,context\na\n", "rows.csv:2 (row 0)", "1 fields"),
    case("open quote", "rows.csv", 'question,context\na,b\nc,"d\ne,f\n', "rows.csv:3", "cannot be read"),
    case("stray quote", "rows.csv", 'question,context\na,"b" c\n', "rows.csv:2", "cannot be read"),
    case("column twice", "rows.csv", "question,context,question\na,b,c\n", "'question' is there twice"),
    case("other delimiter", "rows.csv", "question~context\na~b\n", "which column is the anchor", "question~context"),
    case("unknown columns", "rows.jsonl", '{"foo": "a", "bar": "b"}', "which column is the anchor", "foo, bar"),
    case(
        "ambiguous columns", "rows.csv",
        "question,answer,context\na,b,c\n", "'answer' or 'context'", "columns: {positive",
    ),
    case(
        "column that is not there", "rows.csv", "question,context\na,b\n",
        "no column 'quest'", "did you mean 'question'",
        columns={"anchor": "quest", "positive": "context"},
    ),
    case(
        "number for text", "rows.jsonl",
        '{"anchor": 12, "positive": "b"}', "rows.jsonl:1 (row 0)", "'anchor'", "a number (12)",
    ),
    case(
        "object for text", "rows.jsonl",
        '{"anchor": "a", "positive": {"t": 1}}', "'positive' must hold text", "an object",
    ),
    case("list for an anchor", "rows.jsonl", '{"anchor": ["a"], "positive": "b"}', "'anchor' must hold text", "a list"),
    case("number in a list", "rows.jsonl", '{"query": "a", "pos": ["b", 3]}', "'pos' must hold text", "a number (3)"),
    case("numbers in parquet", "rows.parquet", parquet_of([{"anchor": "a", "positive": 3}]), "row 0", "a number (3)"),
    case(
        "NaN score", "rows.jsonl",
        '{"a": "x", "p": "y", "s": NaN}', "rows.jsonl:1 (row 0)", "'s' must hold a number", **SCORED,
    ),
    case("infinite score", "rows.csv", "a,p,s\nx,y,inf\n", "rows.csv:2 (row 0)", "must hold a number", **SCORED),
    case("word for a score", "rows.csv", "a,p,s\nx,y,good\n", "must hold a number, not 'good'", **SCORED),
    case("no score", "rows.csv", "a,p,s\nx,y,\n", "must hold a number, not nothing", **SCORED),
    case(
        "missing score", "rows.jsonl",
        '{"a": "x", "p": "y", "s": 1}\n{"a": "x", "p": "y"}', ":2 (row 1)", "not nothing", **SCORED,
    ),
    case("scores all zero", "rows.csv", "a,p,s\nx,y,0\n", "no pair of the train split has a score above 0", **SCORED),
    case(
        "fewer scores than texts", "rows.jsonl",
        json.dumps({"a": "x", "p": ["y", "z"], "n": "m", "s": [1], "t": 0}), "has 1 scores for 2 texts", **TAUGHT,
    ),
    case(
        "teacher's score below zero", "rows.jsonl",
        json.dumps({"a": "x", "p": "y", "n": "m", "s": -1.5, "t": -3}), "is -1.5", "add a constant", **TAUGHT,
    ),
    case("no parquet", "rows.parquet", "a,b", "is not a Parquet file"),
    case("cut parquet", "rows.parquet", b"PAR1" + b"\x00" * 20, "is not a Parquet file"),
    case("no gzip", "rows.jsonl.gz", "a", "is not a complete gzip file"),
    case("cut gzip", "rows.jsonl.gz", gzip.compress(HEAD.encode() * 1000)[:-12], "is not a complete gzip file"),
    case("one row held out", "rows.jsonl", HEAD, "1 of 1 queries cannot be held out", holdout=1),
    case("too much held out", "rows.jsonl", HEAD, "50 of 1 queries cannot be held out", holdout=50),
    case(
        "all on one passage", "rows.jsonl", "".join(f'{{"anchor": "{i}", "positive": "b"}}\n' for i in range(20)),
        "the smallest such group has 20", "by: row", holdout=0.1,
    ),
]  # fmt: skip


@pytest.mark.parametrize("bad", CASES)
def test_a_bad_file_gives_one_message_that_says_where_and_what(bad, tmp_path, read):
    fields = dict(bad.fields)
    if beside := fields.pop("beside", None):
        (tmp_path / beside).touch()
    path = tmp_path / bad.file
    if callable(bad.content):
        bad.content(path)
    elif bad.content is not None:
        path.write_bytes(bad.content.encode() if isinstance(bad.content, str) else bad.content)
    with pytest.raises(DataError) as caught:
        read(Pairs.model_validate({"path": str(path), **fields}))
    message = str(caught.value)
    assert "\n" not in message
    for words in bad.says:
        assert words in message


def test_a_file_that_may_not_be_read_is_named(tmp_path, read, monkeypatch):
    path = tmp_path / "rows.jsonl"
    path.write_text(HEAD)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read anything
    with pytest.raises(DataError, match=r"rows\.jsonl: cannot be read: Permission denied"):
        list(lines(path))
