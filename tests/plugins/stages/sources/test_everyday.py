"""The set that comes with embedrun, and those of NanoBEIR."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

import fake_hub
from embedrun.hashing import file_digest, folder_digest, folder_files
from embedrun.testing import check_stage
from embedrun_plugins.stages.sources.everyday import FOLDER, Everyday
from embedrun_plugins.stages.sources.nanobeir import NanoBeir

DIGESTS = {1: "ec4f40e5c4803c2d9eefbeb27a4842c76788998472ddb433da8bb7de7089723d"}
"""Of the set's files, by the source's version: raise it with every change, since it is what results are kept by."""


def test_the_everyday_set_is_large_enough_and_says_each_thing_once(tmp_path):
    data = check_stage(Everyday(), tmp_path)
    assert len(data.documents) >= 300
    assert len(data.queries) >= 150
    relevant = data.relevant("test")
    assert relevant.keys() == data.queries.keys()
    assert {len(documents) for documents in relevant.values()} == {1, 2, 3}
    assert len({document.text for document in data.documents.values()}) == len(data.documents)
    assert len({query.text for query in data.queries.values()}) == len(data.queries)
    assert max(len(document.text.split()) for document in data.documents.values()) < 60


def test_its_questions_are_not_worded_as_its_passages(tmp_path):
    data = check_stage(Everyday(), tmp_path)
    shared = []
    for query, documents in data.relevant("test").items():
        asked = set(re.findall(r"\w{4,}", data.queries[query].text.lower()))
        answers = {word for name in documents for word in re.findall(r"\w{4,}", data.documents[name].text.lower())}
        shared.append(len(asked & answers) / max(1, len(asked)))
    assert sum(shared) / len(shared) < 0.4


def test_a_changed_set_has_another_version():
    digest = folder_digest({name: file_digest(file) for name, file in folder_files(FOLDER).items()})
    assert DIGESTS[Everyday.version] == digest


SCRIPT = """
import json, sys
from pathlib import Path
from embedrun import Context
from embedrun.context import Resolver
from embedrun.errors import EmbedrunError
from embedrun_plugins.stages.evaluators.general import General
from embedrun_plugins.stages.sources.nanobeir import NanoBeir

answers = []
for number, (fields, offline) in enumerate(json.loads(sys.argv[1])):
    try:
        source = NanoBeir.model_validate(fields).resolve(Resolver(offline))
        source.fetch(Resolver(offline))
        out = Path(sys.argv[2], str(number))
        out.mkdir(parents=True)
        data = source.run(Context(out, out, offline=offline))
        texts = [query.text for query in data.queries.values()]
        judged = {query: sorted(documents) for query, documents in data.relevant("test").items()}
        general = General(sets=[{"type": "nanobeir", **fields}]).resolve(Resolver(offline))
        sets = general.model_dump(mode="json", serialize_as_any=True)["sets"]
        documents = sorted(data.documents)
        answers.append(dict(revision=source.revision, queries=texts, judged=judged, documents=documents, sets=sets))
    except EmbedrunError as error:
        answers.append({"error": str(error)})
print(json.dumps(answers))
"""
CARD = """---
configs:
- config_name: corpus
  data_files:
  - {split: NanoTiny, path: corpus/NanoTiny.jsonl}
- config_name: queries
  data_files:
  - {split: NanoTiny, path: queries/NanoTiny.jsonl}
- config_name: qrels
  data_files:
  - {split: NanoTiny, path: qrels/NanoTiny.jsonl}
---
"""


def rows(*values):
    return "".join(json.dumps(row) + "\n" for row in values).encode()


FILES = {
    "README.md": CARD.encode(),
    "corpus/NanoTiny.jsonl": rows(
        {"_id": "d1", "text": "Bread rises."}, {"_id": "d2", "text": "Iron rusts."}, {"_id": "d3", "text": ""}
    ),
    "queries/NanoTiny.jsonl": rows({"_id": "q1", "text": "what rises"}, {"_id": "q2", "text": "what rusts"}),
    "qrels/NanoTiny.jsonl": rows(
        {"query-id": "q1", "corpus-id": "d1"},
        {"query-id": "q2", "corpus-id": "d2"},
        {"query-id": "q2", "corpus-id": "d3"},
    ),
}


@pytest.fixture
def ask(tmp_path):
    """Read sets of a hub at an address, in a process of its own: the libraries read the address once."""

    def run(address, *questions):
        home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": address, "HF_HUB_DISABLE_TELEMETRY": "1"}
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        arguments = [sys.executable, "-c", SCRIPT, json.dumps(questions), str(out)]
        done = subprocess.run(
            arguments, env={**kept, **home}, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_a_set_of_nanobeir_is_read_at_one_commit_and_from_the_cache_when_offline(ask):
    tiny = {"subset": "NanoTiny", "dataset": fake_hub.NAME}
    with fake_hub.serving(files=FILES) as address:
        read, lacking = ask(address, [tiny, False], [{**tiny, "subset": "NanoHuge"}, False])
    assert read["revision"] == fake_hub.COMMIT
    assert read["queries"] == ["what rises", "what rusts"]
    assert read["judged"] == {"q1": ["d1"], "q2": ["d2"]}
    assert read["documents"] == ["d1", "d2"], "empty documents are left out, with what is judged of them"
    (part,) = read["sets"]
    assert part["name"] == "NanoTiny"
    assert part["source"]["revision"] == fake_hub.COMMIT
    assert 'Unknown split "NanoHuge"' in lacking["error"]
    assert ask(address, [tiny, True]) == [read]


def test_a_name_that_is_none_of_nanobeir_s_is_refused():
    with pytest.raises(ValidationError, match="subset"):
        NanoBeir(subset="SciFact")
