"""The reference of every key."""

from __future__ import annotations

from pathlib import Path

from embedrun.recipe import Recipe
from embedrun.registry import Registry
from embedrun.stages import KINDS
from embedrun_plugins.cli import reference

PAGE = Path(__file__).parents[3] / "docs/reference.md"


def test_the_page_is_what_the_classes_say():
    text = reference.page(Registry())
    assert PAGE.read_text("utf-8") == text, "embedrun plugins --reference > docs/reference.md"


def test_every_key_of_every_stage_has_its_row_and_its_meaning():
    text = PAGE.read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []
    assert all(f"| `{name}` |" in text for name in Recipe.model_fields)
    registry = Registry()
    for kind in KINDS:
        for name, entry in registry.entries(kind).items():
            section = text.partition(f"### {kind.kind}: {name}\n")[2].partition("\n#")[0]
            missing = [field for field in entry.stage.model_fields if f"| `{field}` |" not in section]
            assert missing in ([], ["type"]), (kind.kind, name)
