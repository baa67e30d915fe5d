#!/usr/bin/env bash
# One call of ir_measures breaks ties in opposite ways for RR and RR@10.
#
# ir_measures 0.4.3 with pytrec_eval-terrier 0.5.11: two documents with the same score, of which "a" is relevant. RR is
# computed by pytrec_eval, for which the higher id comes first; RR@10 by the provider of MS MARCO's script, for which
# the lower id does. So RR@10 can be above RR, which no ranking allows. Seen: RR 0.5, RR@10 1.0. An evaluation that
# writes run files must set ties apart itself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ir_measures==0.4.3 pytrec_eval-terrier==0.5.11
"$work/venv/bin/python" - <<'PY'
import ir_measures
from ir_measures import RR

qrels = {"q": {"a": 1}}
run = {"q": {"a": 0.5, "b": 0.5}}
scores = ir_measures.calc_aggregate([RR, RR @ 10], qrels, run)
print({str(measure): value for measure, value in scores.items()})
assert scores[RR] == 0.5
assert scores[RR @ 10] == 1.0
PY
