#!/usr/bin/env bash
# A BEIR folder (corpus.jsonl beside qrels/test.tsv) described by one README for datasets is read by one reader for all.
#
# datasets 5.2.0: configurations `corpus` (corpus.jsonl) and `qrels` (qrels/test.tsv) in the README's front matter, as
# repositories of retrieval sets have them. The module is chosen once for the folder, CSV here, so that the corpus comes
# back with one row fewer than it has and one column that is named after its first line's JSON. No error, no warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" - <<'PY'
import json
from pathlib import Path

from datasets import load_dataset

folder = Path("set")
(folder / "qrels").mkdir(parents=True)
corpus = [{"_id": f"d{n}", "text": f"passage {n}"} for n in range(10)]
(folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
(folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n")
(folder / "README.md").write_text(
    "---\nconfigs:\n- config_name: qrels\n  data_files:\n  - split: test\n    path: qrels/test.tsv\n"
    "- config_name: corpus\n  data_files:\n  - split: corpus\n    path: corpus.jsonl\n---\n"
)
read = load_dataset(str(folder), "corpus", split="corpus")
print(f"{len(read)} of {len(corpus)} passages; columns: {read.column_names}")
assert len(read) == 9
assert read.column_names[0].startswith('{"_id": "d0"')
PY
