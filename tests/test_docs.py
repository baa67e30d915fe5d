"""Every block of the README and the documentation works as it stands."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedrun import hookspecs
from embedrun.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- (?P<what>file|run|shown):? ?(?P<name>[^>]*?) ?-->)?\n?```(?P<language>\w*)\n(?P<text>.*?)```", re.DOTALL
)


@dataclass(frozen=True)
class Block:
    what: str
    name: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text("utf-8"))
    return [Block(m["what"] or "", m["name"] or "", m["language"], m["text"]) for m in found]


def run_commands(text: str, folder: Path) -> None:
    """Run a block's commands as its reader would, except that nothing is installed into this environment."""
    site = folder / "site"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(site),
    }
    text = text.replace("pip install ./", f"pip install --quiet --no-deps --no-build-isolation --target {site} ./")
    done = subprocess.run(
        ["bash", "-euc", text], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_works(page, tmp_path):
    if page.name != "README.md":
        rows = next(block for block in blocks(ROOT / "README.md") if block.name == "pairs.jsonl")
        (tmp_path / rows.name).write_text(rows.text)  # which is what the reader of another page has
    for block in blocks(page):
        made = re.findall(r"^make ([\w-]+)", block.text, re.MULTILINE)
        if made:
            line = re.search(r"^ +make (.+)$", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE)
            assert line
            assert set(made) <= set(line[1].split()), "CI runs these"
            continue
        assert block.what or block.language in ("", "text"), f"{page.name}: this block is not tested:\n{block.text}"
        if block.what == "file":
            file = tmp_path / block.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.what == "run":
            run_commands(block.text, tmp_path)


def test_the_list_for_language_models_names_every_page():
    text = (ROOT / "docs/llms.txt").read_text("utf-8")
    for page in PAGES[1:]:
        heading = re.search(r"^# (.+)$", page.read_text("utf-8"), re.MULTILINE)
        assert heading
        assert f"[{heading[1]}]({page.name})" in text


def test_every_hook_is_documented():
    text = (ROOT / "docs/plugins.md").read_text("utf-8")
    for name, hook in vars(hookspecs).items():
        if name.startswith("embedrun_"):
            arguments = ", ".join(inspect.signature(hook).parameters)
            assert f"`{name}({arguments})`" in text


def test_every_command_is_documented(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    names = re.findall(r"^    ([\w-]+)(?: {2,}\S|$)", capsys.readouterr().out, re.MULTILINE)
    assert {"run", "sagemaker-train"} <= set(names), "with a dash, too"
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in names if f"embedrun {name}" not in text] == []
