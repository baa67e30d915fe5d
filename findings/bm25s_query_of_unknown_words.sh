#!/usr/bin/env bash
# bm25s answers a query whose words no document holds with the last documents of the corpus, at the score 0.
#
# bm25s 0.3.16: retrieve() for a query of unknown words returns k documents all the same, the last ones given, last
# first, each with the score 0.0. Who mines hard negatives or fuses rankings from it without looking at the scores takes
# the end of the corpus for an answer. Its default pattern also drops single letters and digits, so that a query such as
# "5" is one of unknown words although a document says "5".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet bm25s==0.3.16 numpy==2.4.2
"$work/venv/bin/python" - <<'PY'
import bm25s

corpus = ["grade 5 steel", "copper wire", "oak table", "glass bottle", "tin roof"]
index = bm25s.BM25()
index.index(bm25s.tokenize(corpus, show_progress=False), show_progress=False)
for query in ("zeppelin", "5"):
    words = bm25s.tokenize(query, show_progress=False, return_ids=False)
    found, scores = index.retrieve(words, k=3, show_progress=False)
    print(f"{query!r}: documents {found[0].tolist()}, scores {scores[0].tolist()}")
    assert scores[0].tolist() == [0.0, 0.0, 0.0]
    assert sorted(found[0].tolist()) == [2, 3, 4]
PY
