#!/usr/bin/env bash
# datasets reads a JSON lines file whose column holds texts first and a list later: the list becomes its own JSON text.
#
# datasets 5.2.0 (pyarrow 26.0.1): a column of positives that is a text in the first rows (beyond the first block that
# the types are read from, about 10 MB) and a list of texts afterwards raises nothing; the list arrives as the text
# '["y", "z"]' in JSON, and would be trained on as if somebody had written it. In a small file the same mixture is kept
# as it is. The reverse (a list first, a null or text later) raises an error.
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

filler = "x" * 1000
rows = [{"anchor": f"question {n}", "positive": f"{n} {filler}"} for n in range(15_000)]
rows.append({"anchor": "late", "positive": ["y", "z"]})
Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
late = load_dataset("json", data_files="rows.jsonl", split="train")[-1]["positive"]
print(f"a list after 15 MB of texts is read as {late!r}")
assert isinstance(late, str)
assert json.loads(late) == ["y", "z"]
PY
