#!/usr/bin/env bash
# pip installs a version of langchain-huggingface of two years ago beside huggingface-hub 2, without a word.
#
# langchain-huggingface 1.2.3 and fastembed 0.9.1 need huggingface-hub below 2. A project that asks for hub 2 or later
# and one of these gets no conflict: pip's resolver goes back to the last release without an upper bound. Seen with
# `pip install --dry-run`: langchain-huggingface 0.3.1, fastembed 0.1.1. A lower bound on each is the only guard.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip="$work/venv/bin/pip"
"$pip" install --quiet pip==26.2
for package in langchain-huggingface fastembed; do
    "$pip" install --dry-run --no-deps --quiet --report "$work/newest.json" "$package"
    "$pip" install --dry-run --quiet --report "$work/beside.json" "huggingface-hub>=2.0" "$package"
    "$work/venv/bin/python" - "$package" "$work" <<'PY'
import json
import sys
from pathlib import Path


def version(report: str) -> str:
    installs = json.loads((Path(sys.argv[2]) / report).read_text())["install"]
    return next(i["metadata"]["version"] for i in installs if i["metadata"]["name"].lower() == sys.argv[1])


newest, beside = version("newest.json"), version("beside.json")
print(f"{sys.argv[1]}: {newest} alone, {beside} beside huggingface-hub 2")
assert beside != newest
assert beside in {"0.3.1", "0.1.1"}
PY
done
