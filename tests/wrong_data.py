"""Files of rows of which one thing is wrong, each with how its message begins."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

PAIRS = "".join(
    json.dumps({"anchor": f"where is item {n}?", "positive": f"Item {n} is in room {n}."}) + "\n" for n in range(12)
)


def zipped(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return content.getvalue()


def row(**values: object) -> str:
    return json.dumps(values) + "\n"


WRONG_DATA: dict[str, tuple[str, str | bytes, str]] = {
    "nothing": ("pairs.jsonl", b"", "pairs.jsonl: holds no rows"),
    "blank lines": ("pairs.jsonl", b"\n \n\t\n", "pairs.jsonl: holds no rows"),
    "one brace": (
        "pairs.jsonl",
        PAIRS + "{\n",
        "pairs.jsonl:13:2: not JSON: Expecting property name enclosed in double quotes",
    ),
    "a bare word": ("pairs.jsonl", PAIRS + "hello\n", "pairs.jsonl:13:1: not JSON: Expecting value"),
    "a list": (
        "pairs.jsonl",
        PAIRS + "[1, 2]\n",
        "pairs.jsonl:13 (row 12): is not a JSON object with named values; allowed: a list of obje",
    ),
    "a number": (
        "pairs.jsonl",
        PAIRS + "3\n",
        "pairs.jsonl:13 (row 12): is not a JSON object with named values; allowed: a list of obje",
    ),
    "null": (
        "pairs.jsonl",
        PAIRS + "null\n",
        "pairs.jsonl:13 (row 12): is not a JSON object with named values; allowed: a list of obje",
    ),
    "a text": (
        "pairs.jsonl",
        PAIRS + '"x"\n',
        "pairs.jsonl:13 (row 12): is not a JSON object with named values; allowed: a list of obje",
    ),
    "two objects in a line": (
        "pairs.jsonl",
        PAIRS + '{"anchor": "a", "positive": "b"} {"anchor": "c"}\n',
        "pairs.jsonl:13:34: not JSON: Extra data",
    ),
    "a trailing comma": (
        "pairs.jsonl",
        PAIRS + '{"anchor": "a", "positive": "b",}\n',
        "pairs.jsonl:13:33: not JSON: Expecting property name enclosed in double quotes",
    ),
    "single quotes": (
        "pairs.jsonl",
        PAIRS + "{'anchor': 'a'}\n",
        "pairs.jsonl:13:2: not JSON: Expecting property name enclosed in double quotes",
    ),
    "deeply nested": (
        "pairs.jsonl",
        PAIRS + '{"anchor": ' + "[" * 100000 + "]" * 100000 + "}\n",
        "pairs.jsonl:13: not usable JSON: maximum recursion depth exceeded while decoding a JSON ",
    ),
    "a long number": (
        "pairs.jsonl",
        PAIRS + '{"anchor": ' + "9" * 6000 + ', "positive": "b"}\n',
        "pairs.jsonl:13: not usable JSON: Exceeds the limit (4300 digits) for integer string conv",
    ),
    "infinity": (
        "pairs.jsonl",
        PAIRS + '{"anchor": Infinity, "positive": "b"}\n',
        "pairs.jsonl:13 (row 12): column 'anchor' must hold text, not a number (inf)",
    ),
    "not UTF-8": (
        "pairs.jsonl",
        PAIRS.encode() + b'{"anchor": "\xff", "positive": "b"}\n',
        "pairs.jsonl:13: not UTF-8 (byte 822 of the file is 0xff); save the file as UTF-8",
    ),
    "UTF-16": ("pairs.jsonl", PAIRS.encode("utf-16"), "pairs.jsonl: is UTF-16, not UTF-8; save it as UTF-8"),
    "UTF-32": ("pairs.jsonl", PAIRS.encode("utf-32"), "pairs.jsonl: is UTF-32, not UTF-8; save it as UTF-8"),
    "half a character": (
        "pairs.jsonl",
        PAIRS + '{"anchor": "\\ud800", "positive": "b"}\n',
        "pairs.jsonl:13 (row 12): column 'anchor' holds half a character (\\ud800), which is not v",
    ),
    "anchor of a number": (
        "pairs.jsonl",
        PAIRS + row(anchor=3, positive="b"),
        "pairs.jsonl:13 (row 12): column 'anchor' must hold text, not a number (3)",
    ),
    "anchor of a list": (
        "pairs.jsonl",
        PAIRS + row(anchor=["a"], positive="b"),
        "pairs.jsonl:13 (row 12): column 'anchor' must hold text, not a list (['a'])",
    ),
    "anchor of an object": (
        "pairs.jsonl",
        PAIRS + row(anchor={"a": 1}, positive="b"),
        "pairs.jsonl:13 (row 12): column 'anchor' must hold text, not an object ({'a': 1})",
    ),
    "anchor of a truth value": (
        "pairs.jsonl",
        PAIRS + row(anchor=True, positive="b"),
        "pairs.jsonl:13 (row 12): column 'anchor' must hold text, not a truth value (True)",
    ),
    "positive of a number": (
        "pairs.jsonl",
        PAIRS + row(anchor="a", positive=1.5),
        "pairs.jsonl:13 (row 12): column 'positive' must hold text, not a number (1.5)",
    ),
    "positive of a list of numbers": (
        "pairs.jsonl",
        PAIRS + row(anchor="a", positive=["b", 2]),
        "pairs.jsonl:13 (row 12): column 'positive' must hold text, not a number (2)",
    ),
    "positive of lists": (
        "pairs.jsonl",
        PAIRS + row(anchor="a", positive=[["b"]]),
        "pairs.jsonl:13 (row 12): column 'positive' must hold text, not a list (['b'])",
    ),
    "all empty": (
        "pairs.jsonl",
        row(anchor="", positive="") * 5,
        "pairs.jsonl: no row can be used: none has text in both 'anchor' and 'positive'",
    ),
    "other columns": (
        "pairs.jsonl",
        row(left="a", right="b") * 12,
        "pairs.jsonl: which column is the anchor: none has a well-known name? Name it: columns: {",
    ),
    "two anchors": (
        "pairs.jsonl",
        row(anchor="a", query="b", positive="c") * 12,
        "pairs.jsonl: which column is the anchor: 'anchor' or 'query'? Name it: columns: {anchor:",
    ),
    "no positive": (
        "pairs.jsonl",
        row(anchor="a") * 12,
        "pairs.jsonl: which column is the positive: none has a well-known name? Name it: columns:",
    ),
    "score of a word": (
        "pairs.jsonl",
        PAIRS + row(anchor="a", positive="b", score="high"),
        "pairs.jsonl:1 (row 0): column 'score' must hold a number, not nothing",
    ),
    "one row": (
        "pairs.jsonl",
        PAIRS.splitlines()[0],
        "holdout: 1 of 1 queries cannot be held out; some must be left to train on",
    ),
    "gzip for plain": (
        "pairs.jsonl",
        gzip.compress(PAIRS.encode()),
        "pairs.jsonl: is packed with gzip; let its name end in .gz",
    ),
    "zip for plain": (
        "pairs.jsonl",
        zipped(a="b"),
        "pairs.jsonl: is an Excel workbook (or another zip archive); save it as CSV UTF-8, and na",
    ),
    "PDF for rows": ("pairs.jsonl", b"%PDF-1.4\n", "pairs.jsonl: is a PDF; PDFs are read by the source 'documents'"),
    "a NUL": ("pairs.jsonl", b"\0" * 100, "pairs.jsonl:1:1: not JSON: Expecting value"),
    "broken gzip": (
        "pairs.jsonl.gz",
        b"\x1f\x8b\x08nonsense",
        "pairs.jsonl.gz: is not a complete gzip file: Compressed file ended before the end-of-str",
    ),
    "cut gzip": (
        "pairs.jsonl.gz",
        gzip.compress(PAIRS.encode() * 50)[:60],
        "pairs.jsonl.gz: is not a complete gzip file: Compressed file ended before the end-of-str",
    ),
    "plain for gzip": (
        "pairs.jsonl.gz",
        PAIRS.encode(),
        "pairs.jsonl.gz: is not a complete gzip file: Not a gzipped file (b'{\"')",
    ),
    "JSON of nothing": ("pairs.json", b"", "pairs.json: holds no rows"),
    "JSON of a number": (
        "pairs.json",
        b"3",
        "pairs.json:1 (row 0): is not a JSON object with named values; allowed: a list of objects",
    ),
    "JSON of null": (
        "pairs.json",
        b"null",
        "pairs.json:1 (row 0): is not a JSON object with named values; allowed: a list of objects",
    ),
    "JSON of an empty list": ("pairs.json", b"[]", "pairs.json: holds no rows"),
    "JSON of an empty object": ("pairs.json", b"{}", "pairs.json: holds no rows"),
    "JSON of two lists": (
        "pairs.json",
        b'{"a": [{"x": 1}], "b": [{"y": 1}]}',
        "pairs.json: which column is the anchor: none has a well-known name? Name it: columns: {a",
    ),
    "JSON of lists": (
        "pairs.json",
        b"[[1]]",
        "pairs.json:1 (row 0): is not a JSON object with named values; allowed: a list of objects",
    ),
    "JSON of words": (
        "pairs.json",
        b'["a", "b"]',
        "pairs.json:1 (row 0): is not a JSON object with named values; allowed: a list of objects",
    ),
    "JSON cut off": (
        "pairs.json",
        b'[{"anchor": "a", "positive": "b"}, {"anc',
        "pairs.json:1:37: not JSON: Unterminated string starting at",
    ),
    "JSON deeply nested": (
        "pairs.json",
        b"[" * 100000,
        "pairs.json:1: not usable JSON: maximum recursion depth exceeded while decoding a JSON ar",
    ),
    "JSON not UTF-8": (
        "pairs.json",
        b'[{"anchor": "\xe9", "positive": "b"}]',
        "pairs.json:1: not UTF-8 (byte 13 of the file is 0xe9); save the file as UTF-8",
    ),
    "CSV of nothing": ("pairs.csv", b"", "pairs.csv: is empty; the first line must name the columns"),
    "CSV header only": (
        "pairs.csv",
        b"anchor,positive\n",
        "pairs.csv: no row can be used: none has text in both 'anchor' and 'positive'",
    ),
    "CSV ragged": (
        "pairs.csv",
        b"anchor,positive\na,b\nc,d,e\n",
        "pairs.csv:3 (row 1): has 3 fields, but the header names 2; a field that holds ',' or a l",
    ),
    "CSV short row": (
        "pairs.csv",
        b"anchor,positive,score\na,b,1\nc,d\n",
        "pairs.csv:3 (row 1): has 2 fields, but the header names 3; a field that holds ',' or a l",
    ),
    "CSV twice a column": (
        "pairs.csv",
        b"anchor,anchor\na,b\n",
        "pairs.csv:1: the column 'anchor' is there twice; rename one of them",
    ),
    "CSV open quote": (
        "pairs.csv",
        b'anchor,positive\n"a,b\nc,d\n',
        "pairs.csv:2: the record that starts here cannot be read: unexpected end of data; a field",
    ),
    "CSV NaN score": (
        "pairs.csv",
        b"anchor,positive,score\na,b,0.5\nc,d,nan\n",
        "pairs.csv:3 (row 1): column 'score' must hold a number, not 'nan'",
    ),
    "CSV infinite score": (
        "pairs.csv",
        b"anchor,positive,score\na,b,inf\n",
        "pairs.csv:2 (row 0): column 'score' must hold a number, not 'inf'",
    ),
    "CSV of lists": (
        "pairs.csv",
        b"anchor,positive\na,\"['b', 'c']\"\nd,\"['e']\"\n",
        "pairs.csv: column 'positive' holds a list written as text in 2 of 2 rows; a cell of CSV ",
    ),
    "CSV not UTF-8": (
        "pairs.csv",
        "anchor,positive\ncaf\xe9,b\n".encode("latin-1"),
        "pairs.csv:2: not UTF-8 (byte 19 of the file is 0xe9); save the file as UTF-8",
    ),
    "CSV with a NUL": (
        "pairs.csv",
        b"anchor,positive\na\0,b\n",
        "holdout: 1 of 1 queries cannot be held out; some must be left to train on",
    ),
    "CSV huge cell": (
        "pairs.csv",
        b"anchor,positive\na," + b"x" * 200000 + b"\nonly\n",
        "pairs.csv:3 (row 1): has 1 fields, but the header names 2; a field that holds ',' or a l",
    ),
    "CSV one column": (
        "pairs.csv",
        b"anchor\na\n",
        "pairs.csv: which column is the positive: none has a well-known name? Name it: columns: {",
    ),
    "TSV with commas": (
        "pairs.tsv",
        b"anchor,positive\na,b\n",
        "pairs.tsv: which column is the anchor: none has a well-known name? Name it: columns: {an",
    ),
    "TSV ragged": (
        "pairs.tsv",
        b"anchor\tpositive\na\tb\tc\n",
        "pairs.tsv:2 (row 0): has 3 fields, but the header names 2; a field that holds '\\t' or a ",
    ),
    "Parquet of words": (
        "pairs.parquet",
        b"PAR1 nonsense PAR1",
        "pairs.parquet: is not a Parquet file: Parquet file size is 18 bytes, smaller than the si",
    ),
    "Parquet of nothing": ("pairs.parquet", b"", "pairs.parquet: is not a Parquet file: Parquet file size is 0 bytes"),
    "Parquet cut off": (
        "pairs.parquet",
        b"PAR1",
        "pairs.parquet: is not a Parquet file: Parquet file size is 4 bytes, smaller than the min",
    ),
    "workbook": (
        "pairs.xlsx",
        zipped(xl__workbook="x"),
        "pairs.xlsx: is an Excel workbook (or another zip archive); save it as CSV UTF-8, and nam",
    ),
    "old workbook": (
        "pairs.xls",
        b"\xd0\xcf\x11\xe0",
        "pairs.xls: is an old Excel workbook, or one with a password; save it as CSV UTF-8, and n",
    ),
    "unknown kind": (
        "pairs.xyz",
        b"anchor",
        "pairs.xyz: what format is this? Name it: format: one of json, jsonl, csv, tsv, parquet",
    ),
    "no ending": (
        "pairs",
        b"anchor",
        "pairs: what format is this? Name it: format: one of json, jsonl, csv, tsv, parquet",
    ),
    "a picture": (
        "pairs.png",
        b"\x89PNG",
        "pairs.png: what format is this? Name it: format: one of json, jsonl, csv, tsv, parquet",
    ),
}
