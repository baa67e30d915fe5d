#!/usr/bin/env bash
# ranx keeps tied documents in the order given up to 15 of them, and scrambles them from 16 on.
#
# ranx 0.3.21 (numba 0.68.1): all documents of a run have the score 0.5 and the first given is relevant. With 15
# documents its reciprocal rank is 1; with 16 it is 1/15, with 100 it is 1/73: the sort is not stable above a small
# size. A second surprise of the same call: a grade of 0.5 in the qrels is cut to 0, so the document is not relevant
# (pytrec_eval refuses such a grade instead).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ranx==0.3.21 numba==0.68.1
"$work/venv/bin/python" - <<'PY'
from ranx import Qrels, Run, evaluate


def rank_of_first(count: int) -> int:
    run = {f"d{n:03}": 0.5 for n in range(count)}
    return round(1 / evaluate(Qrels({"q": {"d000": 1}}), Run({"q": run}), "mrr"))


ranks = {count: rank_of_first(count) for count in (2, 15, 16, 100)}
print("rank of the first document given, by how many are tied:", ranks)
assert ranks[2] == ranks[15] == 1
assert ranks[16] > 1
assert ranks[100] > 1
half = evaluate(Qrels({"q": {"d0": 0.5, "d1": 1}}), Run({"q": {"d0": 2.0, "d1": 1.0}}), "mrr")
print("reciprocal rank where the first has the grade 0.5:", half)
assert half == 0.5
PY
