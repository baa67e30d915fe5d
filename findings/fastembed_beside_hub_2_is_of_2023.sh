#!/usr/bin/env bash
# Beside huggingface_hub 2, pip installs fastembed 0.1.1, of 2023, without a word.
#
# pip with huggingface-hub 2.4.0 and an unpinned fastembed: every later fastembed asks for a huggingface-hub below 2, so
# the resolver goes back to the first release without that bound; with langchain-huggingface it goes back to 0.3.1. Whoever pins `huggingface-hub>=2` takes these clients from
# users in the same environment; whoever needs them names a lower bound for them, so that pip says what conflicts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
for package in fastembed langchain-huggingface; do
    "$work/venv/bin/pip" install --quiet --dry-run --report "$work/$package.json" huggingface-hub==2.4.0 "$package"
done
"$work/venv/bin/python" - "$work" <<'PY'
import json
import sys
from pathlib import Path

chosen = {}
for report in Path(sys.argv[1]).glob("*.json"):
    for item in json.loads(report.read_text())["install"]:
        chosen[item["metadata"]["name"].replace("_", "-")] = item["metadata"]["version"]
print({name: chosen[name] for name in ("huggingface-hub", "fastembed", "langchain-huggingface")})
assert chosen["huggingface-hub"] == "2.4.0"
assert chosen["fastembed"] == "0.1.1"
assert chosen["langchain-huggingface"] == "0.3.1"
PY
