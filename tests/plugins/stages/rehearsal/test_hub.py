"""A data set of the hub, once it is cached."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import fake_hub

SCRIPT = """
import json, sys
from pathlib import Path
from embedrun import Context, Rehearsal
from embedrun.context import Resolver
from embedrun_plugins.cli.rehearsal.no_network import quiet
from embedrun_plugins.stages.sources.hub import Hub

stage = Hub(dataset=sys.argv[1], split={"train": "train", "test": "validation"})
list(stage.resolve(Resolver()).tables(offline=False))
rehearsal = Rehearsal(Path(sys.argv[2]))
with quiet():
    instead = stage.rehearsal(rehearsal)
    made = instead.run(Context(rehearsal.folder / "out", rehearsal.folder, offline=True))
print(json.dumps([[note.sentence for note in rehearsal.notes], [query.text for query in made.queries.values()]]))
"""


def test_its_own_rows_are_taken_where_it_is_cached(tmp_path):
    (tmp_path / "stage/out").mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    with fake_hub.serving() as address:
        home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": address, "HF_HUB_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, "-c", SCRIPT, fake_hub.NAME, str(tmp_path / "stage")]
        done = subprocess.run(command, env={**kept, **home}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, queries = json.loads(done.stdout.splitlines()[-1])
    assert f"6 rows of {fake_hub.NAME} (test)" in said
    assert "train 0?" in queries
