"""A recipe that is swept in no time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fake_trainings import RATES, RECIPE

TRAININGS = Path(__file__).parents[3] / "fake_trainings.py"


@dataclass(frozen=True)
class Shop:
    """A folder with the recipe."""

    project: Any

    @property
    def folder(self) -> Path:
        return self.project.folder

    def sweep(self, *words: str, settings: Sequence[str] = (RATES,)) -> Any:
        chosen = [word for setting in settings for word in ("--set", setting)]
        return self.project.run("sweep", "shop.yaml", *chosen, *words)

    def records(self, of: str = "sweep-1/trial-*") -> list[dict[str, Any]]:
        files = sorted(self.folder.glob(f"runs/shop/{of}/*/run.json"))
        return [json.loads(file.read_text("utf-8")) for file in files]

    def made(self, slot: str, of: str = "sweep-1/trial-*") -> int:
        """Count how often a stage ran in trials, rather than being reused."""
        stages = [stage for record in self.records(of) for stage in record["stages"]]
        return sum(stage["slot"] == slot and not stage["cached"] for stage in stages)


@pytest.fixture
def shop(project) -> Shop:
    shutil.copy(TRAININGS, project.folder)
    project.write("model/config.json", "{}")
    project.write("shop.yaml", RECIPE)
    return Shop(project)
