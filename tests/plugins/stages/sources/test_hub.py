import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from embedrun_plugins.stages.sources.hub import Hub

_SPEC = importlib.util.spec_from_file_location("fake_hub", Path(__file__).parents[3] / "fake_hub.py")
fake_hub = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fake_hub)

# The libraries read the hub's address once, when they are imported; so each test reads in a process of its own.
SCRIPT = """
import json, sys
from pathlib import Path
from embedrun.errors import EmbedrunError
from embedrun.context import Context, Resolver
from embedrun_plugins.stages.sources.hub import Hub

answers = []
for number, (fields, offline) in enumerate(json.loads(sys.argv[1])):
    notes = {}
    try:
        source = Hub.model_validate(fields).resolve(Resolver(offline))
        out = Path(sys.argv[2], str(number))
        out.mkdir(parents=True)
        data = source.run(Context(out, out, offline=offline, on_note=notes.__setitem__))
        answers.append({"revision": source.revision, "notes": notes, "queries": len(data.queries)})
    except EmbedrunError as error:
        answers.append({"error": str(error)})
print(json.dumps(answers))
"""


@pytest.fixture
def ask(tmp_path):
    """Read data sets from a hub at an address, with a cache that lasts as long as the test."""

    def run(address, *questions, **environment):
        home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": address, "HF_HUB_DISABLE_TELEMETRY": "1"}
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        arguments = [sys.executable, "-c", SCRIPT, json.dumps(questions), str(out)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        done = subprocess.run(
            arguments, env={**kept, **home, **environment}, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


WHOLE = {"dataset": fake_hub.NAME}


def test_a_data_set_is_read_at_one_commit_and_from_the_cache_when_offline(ask, tmp_path):
    (tmp_path / fake_hub.NAME).mkdir(parents=True)  # a folder of the data set's name must not be taken for it
    both = {**WHOLE, "split": {"train": "train", "dev": "validation"}, "holdout": {"test": 0.2}}
    with fake_hub.serving() as address:
        whole, divided, part = ask(address, [WHOLE, False], [both, False], [{**WHOLE, "split": "train[:10]"}, False])
    assert whole["revision"] == divided["revision"] == fake_hub.COMMIT
    assert whole["notes"]["columns"]["used"] == {"anchor": "question", "positive": "context"}
    assert (whole["queries"], part["queries"]) == (40, 10)
    assert [divided["notes"][f"{split}_queries"] for split in ("train", "dev", "test")] == [32, 6, 8]
    pinned = {**WHOLE, "revision": fake_hub.COMMIT}
    offline, fixed, down = ask(address, [WHOLE, True], [pinned, True], [pinned, False])
    assert offline == fixed == down == whole


def test_what_cannot_be_had_is_explained(ask):
    asked = [
        ({"dataset": "someone/else"}, "there is no dataset 'someone/else'"),
        ({**WHOLE, "revision": "v2"}, "has no revision 'v2'"),
        ({**WHOLE, "name": "french"}, "BuilderConfig 'french' not found. Available: ['default']"),
        ({**WHOLE, "split": "tset"}, 'Unknown split "tset". Should be one of'),
        ({**WHOLE, "columns": {"anchor": "quest"}}, "did you mean 'question'"),
        ({**WHOLE, "columns": {"anchor": "id", "positive": "context"}}, "row 0: column 'id' must hold text"),
    ]
    with fake_hub.serving() as address:
        answers = ask(address, *([fields, False] for fields, _ in asked))
    for (_, says), answer in zip(asked, answers, strict=True):
        assert says in answer["error"]
        assert "\n" not in answer["error"]


def test_offline_or_unreachable_it_says_what_to_do_instead(ask):
    pinned = {**WHOLE, "revision": fake_hub.COMMIT}
    with fake_hub.serving() as address:
        pass
    offline, unreachable, uncached = ask(address, [WHOLE, True], [WHOLE, False], [pinned, True])
    assert "cannot be reached (offline)" in offline["error"]
    assert "cannot be reached (ConnectError)" in unreachable["error"]
    assert f"not cached at commit {fake_hub.COMMIT}" in uncached["error"]
    for answer in (offline, unreachable, uncached):
        assert "source: {type: pairs, path: …}" in answer["error"]


def test_a_branch_is_no_commit_and_offline_is_not_guessed(ask):
    with fake_hub.serving() as address:
        ask(address, [WHOLE, False])
    [answer] = ask(address, [{**WHOLE, "revision": "main"}, True])
    assert f"is cached at {fake_hub.COMMIT}: name a revision" in answer["error"]


def test_what_the_configuration_tells_needs_no_hub():
    source = Hub.model_validate({**WHOLE, "split": {"test": "test"}, "holdout": 0.1, "columns": {"anchor": "a"}})
    assert source.splits_given() == {"test"}
    assert "takes from the train split" in " ".join(source.faults())
    assert "negative" in source.columns_given()


@pytest.mark.parametrize("dataset", ["questions", "a/b/c", "../x/y", "", "a b/c", "./folder"])
def test_only_ids_of_the_hub_are_taken(dataset):
    with pytest.raises(ValidationError):
        Hub.model_validate({"dataset": dataset})
