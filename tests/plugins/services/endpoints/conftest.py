"""A model that was really deployed by a run, once for all tests of clients."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedrun.cli import main

RECIPE = """
name: served
model:
  id: sentence-transformers/all-MiniLM-L6-v2
  prompts: {query: "query: ", document: ""}
source: {type: pairs, path: pairs.jsonl}
deployer: {type: local, port: 0}
"""


@pytest.fixture(scope="session")
def run_folder(minilm: Path, tmp_path_factory) -> Iterator[Path]:
    """The folder of a run whose server answers until the tests end."""
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "pairs.jsonl").write_text('{"anchor": "who?", "positive": "She."}\n')
    (folder / "served.yaml").write_text(RECIPE)
    runs, before = folder / "runs", Path.cwd()
    os.chdir(folder)
    try:
        assert main(["run", "served.yaml"]) == 0
        yield next(runs.glob("served/*/run.json")).parent
        assert main(["delete", "served"]) == 0
    finally:
        os.chdir(before)
